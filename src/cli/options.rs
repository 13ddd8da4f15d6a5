//! The flags of the configuration as arguments of the command line, made of their table.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::config::{FLAGS, Flag, Flags, Gives};

/// The flags that were given, before the command or after it.
pub(super) struct Options(Flags);

impl Options {
    /// These alone.
    pub(super) fn into_flags(self) -> Flags {
        self.0
    }

    /// These, and those given after the command, which are the later word.
    pub(super) fn and(self, later: Options) -> Flags {
        self.0.and(later.0)
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, flag| command.arg(argument(flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Options::augment_args(command)
    }
}

fn argument(flag: &'static Flag) -> Arg {
    let argument = Arg::new(flag.name).long(flag.name.trim_start_matches('-')).help(flag.help);
    let argument = match flag.short {
        Some(short) => argument.short(short),
        None => argument,
    };
    let text = || argument.clone().value_name(flag.value).value_parser(ValueParser::string());
    match flag.gives {
        Gives::File => argument.value_name(flag.value).value_parser(value_parser!(PathBuf)),
        Gives::Setting(_) => text(),
        Gives::Number(_) => text().allow_hyphen_values(true),
        Gives::PipeRule => text().action(ArgAction::Append),
        Gives::DevelopmentMode => argument.action(ArgAction::SetTrue),
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Flags::default();
        for flag in FLAGS {
            match flag.gives {
                Gives::File => given.config = matches.get_one::<PathBuf>(flag.name).cloned(),
                Gives::Setting(_) | Gives::Number(_) => {
                    if let Some(value) = matches.get_one::<String>(flag.name) {
                        given.set(flag, value.clone());
                    }
                }
                Gives::PipeRule => {
                    given.pipe = matches.get_many(flag.name).into_iter().flatten().cloned().collect();
                }
                Gives::DevelopmentMode => given.development = matches.get_flag(flag.name),
            }
        }
        Ok(Options(given))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let before = std::mem::take(&mut self.0);
        self.0 = before.and(Options::from_arg_matches(matches)?.0);
        Ok(())
    }
}
