//! The words, texts and marks that SQL consists of.

use super::super::error::BadInput;

/// What a token is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A key word, a name without quotes, or a number.
    Word(String),
    /// A name in quotes.
    Name(String),
    /// A text. It may be a secret: nothing here has `Debug`.
    Text(String),
    /// Any other character.
    Mark(char),
}

/// One token, and where it begins.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// Counted from 1.
    pub(super) line: usize,
    column: usize,
}

impl Token {
    pub(super) fn is(&self, mark: char) -> bool {
        self.kind == TokenKind::Mark(mark)
    }

    /// A key word in upper case.
    pub(super) fn word(&self) -> Option<String> {
        match &self.kind {
            TokenKind::Word(word) => Some(word.to_ascii_uppercase()),
            TokenKind::Name(_) | TokenKind::Text(_) | TokenKind::Mark(_) => None,
        }
    }

    /// A name, with or without quotes.
    pub(super) fn name(&self) -> Option<String> {
        match &self.kind {
            TokenKind::Word(name) | TokenKind::Name(name) => Some(name.clone()),
            TokenKind::Text(_) | TokenKind::Mark(_) => None,
        }
    }

    pub(super) fn bad(&self, message: &str) -> BadInput {
        BadInput::at(self.line, self.column, message)
    }
}

/// Reads tokens one after the other.
pub(super) struct Tokens<'t> {
    text: &'t str,
    /// In bytes.
    at: usize,
    line: usize,
    /// Where the line begins.
    line_start: usize,
    /// MySQL quotes names with ` and escapes with \ in every text; PostgreSQL only in E'…'. The first such name decides:
    /// MySQL's own dumps have one before their first text, and what is quoted may hold anything.
    is_mysql: bool,
    peeked: Option<Token>,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Tokens { text, at: 0, line: 1, line_start: 0, is_mysql: false, peeked: None }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes on by this many bytes.
    fn advance(&mut self, bytes: usize) {
        let passed = self.rest().get(..bytes).unwrap_or_default();
        self.line += passed.matches('\n').count();
        if let Some(newline) = passed.rfind('\n') {
            self.line_start = self.at + newline + 1;
        }
        self.at += passed.len();
    }

    /// Says where reading has come to.
    pub(super) fn bad_here(&self, message: &str) -> BadInput {
        let before = self.text.get(self.line_start..self.at).unwrap_or_default();
        BadInput::at(self.line, before.chars().count() + 1, message)
    }

    fn skip_space_and_comments(&mut self) -> Result<(), BadInput> {
        loop {
            let rest = self.rest();
            let space = rest.len() - rest.trim_start().len();
            self.advance(space);
            let rest = self.rest();
            // Before the first name, too: some programs begin a dump so.
            let may_be_mysql = self.is_mysql || self.at == self.line_start;
            let is_line = rest.starts_with("--") || may_be_mysql && rest.starts_with('#');
            if is_line {
                self.advance(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                let Some(end) = rest.find("*/") else {
                    return Err(self.bad_here("the comment that begins here is never closed"));
                };
                self.advance(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    pub(super) fn peek(&mut self) -> Result<Option<&Token>, BadInput> {
        if self.peeked.is_none() {
            self.peeked = self.read()?;
        }
        Ok(self.peeked.as_ref())
    }

    pub(super) fn next(&mut self) -> Result<Option<Token>, BadInput> {
        match self.peeked.take() {
            Some(token) => Ok(Some(token)),
            None => self.read(),
        }
    }

    /// Passes over a key word, if it stands here.
    pub(super) fn skip_word(&mut self, word: &str) -> Result<(), BadInput> {
        if self.peek()?.is_some_and(|token| token.word().as_deref() == Some(word)) {
            self.peeked = None;
        }
        Ok(())
    }

    /// The number and the text of the next whole line, behind the one that was begun.
    pub(super) fn line(&mut self) -> Option<(usize, &'t str)> {
        if self.at > self.line_start {
            let rest = self.rest();
            self.advance(rest.find('\n').map_or(rest.len(), |newline| newline + 1));
        }
        let (number, rest) = (self.line, self.rest());
        if rest.is_empty() {
            return None;
        }
        let line = rest.split('\n').next().unwrap_or_default();
        self.advance((line.len() + 1).min(rest.len()));
        // The last line may have no end.
        if self.at == self.text.len() && !self.text.ends_with('\n') {
            self.line_start = self.at;
        }
        Some((number, line.trim_end_matches('\r')))
    }

    fn read(&mut self) -> Result<Option<Token>, BadInput> {
        self.skip_space_and_comments()?;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let before = self.text.get(self.line_start..self.at).unwrap_or_default();
        let (line, column) = (self.line, before.chars().count() + 1);
        let in_word = |c: char| c.is_alphanumeric() || "_-+.$".contains(c);
        let kind = match first {
            '\'' => TokenKind::Text(self.quoted('\'', self.is_mysql)?),
            '"' if self.is_mysql => TokenKind::Text(self.quoted('"', true)?),
            '$' => match self.quoted_by_dollars() {
                Some((whole, text)) => {
                    self.advance(whole.len());
                    TokenKind::Text(text.to_owned())
                }
                None => {
                    self.advance(1);
                    TokenKind::Mark('$')
                }
            },
            '"' | '`' => {
                self.is_mysql |= first == '`';
                TokenKind::Name(self.quoted(first, false)?)
            }
            'E' | 'e' if rest[1..].starts_with('\'') => {
                self.advance(1);
                TokenKind::Text(self.quoted('\'', true)?)
            }
            c if c.is_alphanumeric() || c == '_' || c == '-' => {
                // schema.table is two names.
                let is_number = c.is_ascii_digit() || c == '-';
                let end = rest.find(|c| !in_word(c) || (c == '.' && !is_number)).unwrap_or(rest.len());
                self.advance(end);
                TokenKind::Word(rest[..end].to_owned())
            }
            c => {
                self.advance(c.len_utf8());
                TokenKind::Mark(c)
            }
        };
        Ok(Some(Token { kind, line, column }))
    }

    /// PostgreSQL's `$tag$text$tag$`, and the text of it: the bodies of functions are written so.
    fn quoted_by_dollars(&self) -> Option<(&'t str, &'t str)> {
        let rest = self.rest();
        let (tag, _) = rest.strip_prefix('$').filter(|_| !self.is_mysql)?.split_once('$')?;
        let is_tag = tag.chars().all(|c| c.is_alphanumeric() || c == '_');
        let quote = rest.get(..tag.len() + 2).filter(|_| is_tag)?;
        let (text, _) = rest.get(quote.len()..)?.split_once(quote)?;
        Some((rest.get(..2 * quote.len() + text.len())?, text))
    }

    /// What stands between two quotes; doubled, a quote stands for itself.
    fn quoted(&mut self, quote: char, has_escapes: bool) -> Result<String, BadInput> {
        let unclosed = self.bad_here("the quote that begins here is never closed");
        let rest = self.rest();
        let (mut text, mut chars) = (String::new(), rest.char_indices().skip(1).peekable());
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if has_escapes => match chars.next() {
                    Some((_, escaped)) => text.push(unescaped(escaped)),
                    None => return Err(unclosed),
                },
                c if c == quote => match chars.next_if(|(_, next)| *next == quote) {
                    Some(_) => text.push(quote),
                    None => {
                        self.advance(at + 1);
                        return Ok(text);
                    }
                },
                c => text.push(c),
            }
        }
        Err(unclosed)
    }
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        other => other,
    }
}

/// A value as `COPY` writes it; `None` for null.
pub(super) fn copied(value: &str) -> Option<String> {
    if value == "\\N" {
        return None;
    }
    let (mut text, mut chars) = (String::new(), value.chars());
    while let Some(c) = chars.next() {
        text.push(if c == '\\' { chars.next().map_or('\\', unescaped) } else { c });
    }
    Some(text)
}
