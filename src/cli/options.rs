//! The flags of the configuration as arguments of the command line, made of their table.

use std::marker::PhantomData;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::scope::{CommandScope, EveryFlag};
use crate::config::{FLAGS, Flag, Flags, Gives};

/// The flags that were given, before the command or after it.
pub(super) struct Options<S = EveryFlag> {
    flags: Flags,
    scope: PhantomData<S>,
}

impl Options {
    /// These alone.
    pub(super) fn into_flags(self) -> Flags {
        self.flags
    }

    /// These, and those given after the command, which are the later word.
    ///
    /// # Errors
    /// If one of these does nothing for the command.
    pub(super) fn and<S: CommandScope>(self, later: Options<S>, command: &str) -> Result<Flags, clap::Error> {
        self.refuse(command, |flag| !S::takes(flag))?;
        Ok(self.flags.and(later.flags))
    }

    /// Nothing.
    ///
    /// # Errors
    /// If one of these was given to a command that takes none.
    pub(super) fn none(self, command: &str) -> Result<(), clap::Error> {
        self.refuse(command, |_| true)
    }

    fn refuse(&self, command: &str, is_refused: impl Fn(&str) -> bool) -> Result<(), clap::Error> {
        match self.flags.given().find(|flag| is_refused(flag)) {
            Some(flag) => {
                let text = format!("the flag {flag} means nothing to `heliostat {command}`\n");
                Err(clap::Error::raw(ErrorKind::ArgumentConflict, text))
            }
            None => Ok(()),
        }
    }
}

fn flags_of<S: CommandScope>() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(|flag| S::takes(flag.name))
}

impl<S: CommandScope> Args for Options<S> {
    fn augment_args(command: Command) -> Command {
        flags_of::<S>().fold(command, |command, flag| command.arg(argument(flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
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
        // With "=" alone: what follows may be the command.
        Gives::Admin => text().num_args(0..=1).require_equals(true).default_missing_value(""),
        Gives::PipeRule => text().action(ArgAction::Append),
        Gives::DevelopmentMode | Gives::Lan => argument.action(ArgAction::SetTrue),
    }
}

impl<S: CommandScope> FromArgMatches for Options<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Flags::default();
        for flag in flags_of::<S>() {
            match flag.gives {
                Gives::File => given.config = matches.get_one::<PathBuf>(flag.name).cloned(),
                Gives::Setting(_) | Gives::Number(_) | Gives::Admin => {
                    if let Some(value) = matches.get_one::<String>(flag.name) {
                        given.set(flag, value.clone());
                    }
                }
                Gives::PipeRule => {
                    given.pipe = matches.get_many(flag.name).into_iter().flatten().cloned().collect();
                }
                Gives::DevelopmentMode => given.development = matches.get_flag(flag.name),
                Gives::Lan if matches.get_flag(flag.name) => given.set(flag, String::new()),
                Gives::Lan => {}
            }
        }
        Ok(Options { flags: given, scope: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let before = std::mem::take(&mut self.flags);
        self.flags = before.and(Self::from_arg_matches(matches)?.flags);
        Ok(())
    }
}
