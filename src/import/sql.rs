//! A dump of soketi's `apps` table: the `INSERT` statements of MySQL and PostgreSQL, and PostgreSQL's `COPY`.
//!
//! Of a dump of a whole database, everything else is passed over.

mod tokens;

use std::collections::BTreeMap;

use super::error::BadInput;
use super::records::{AppRecord, are_of_apps};
use tokens::{Token, TokenKind, Tokens};

/// The name of soketi's table.
const APPS: &str = "apps";

/// The apps of a dump, and what is to be known of the tables that they stand in or could stand in, each in a sentence.
///
/// # Errors
/// The first statement about such a table that cannot be read, or that there is none.
pub(super) fn read(text: &str) -> Result<(Vec<AppRecord>, Vec<String>), BadInput> {
    let mut dump = Dump { tokens: Tokens::new(text), columns: BTreeMap::new(), tables: Vec::new() };
    while let Some(token) = dump.tokens.next()? {
        match token.word().as_deref() {
            Some("CREATE") => dump.create()?,
            Some("INSERT" | "REPLACE") => dump.insert()?,
            Some("COPY") => dump.copy()?,
            _ => dump.skip_statement(&token)?,
        }
    }
    if dump.tables.is_empty() {
        const EXPECTED: &str =
            "expected INSERT or COPY statements of a table with the columns id, key and secret";
        return Err(BadInput::at(1, 1, EXPECTED));
    }
    Ok(chosen(dump.tables))
}

/// The rows of the table of that name where it is there, or else of every table that could be it.
fn chosen(tables: Vec<DumpedTable>) -> (Vec<AppRecord>, Vec<String>) {
    let is_there = tables.iter().any(DumpedTable::is_named_apps);
    let (mut apps, mut remarks) = (Vec::new(), Vec::new());
    for table in tables {
        let name = &table.name;
        if is_there && !table.is_named_apps() {
            remarks.push(format!("table {name:?}: left out, because there is a table {APPS}"));
            continue;
        }
        if !is_there {
            remarks.push(format!(
                "table {name:?}: its rows are taken for apps, because it has the columns id, key and secret"
            ));
        }
        apps.extend(table.rows);
    }
    (apps, remarks)
}

/// A table with the columns of apps.
struct DumpedTable {
    /// Without its schema.
    name: String,
    rows: Vec<AppRecord>,
}

impl DumpedTable {
    fn is_named_apps(&self) -> bool {
        self.name.eq_ignore_ascii_case(APPS)
    }
}

struct Dump<'t> {
    tokens: Tokens<'t>,
    /// The columns of each table that was created, for statements that do not name them.
    columns: BTreeMap<String, Vec<String>>,
    /// Those with the columns of apps that a statement gives rows to, in its order.
    tables: Vec<DumpedTable>,
}

impl Dump<'_> {
    /// Passes over the rest of a statement of which `last` was read.
    fn skip_statement(&mut self, last: &Token) -> Result<(), BadInput> {
        let mut ended = last.is(';');
        while !ended {
            ended = self.tokens.next()?.is_none_or(|token| token.is(';'));
        }
        Ok(())
    }

    /// The rows so far of a table with the columns of apps.
    fn rows_of(&mut self, name: &str) -> &mut Vec<AppRecord> {
        let known = self.tables.iter().position(|table| table.name == name);
        let index = known.unwrap_or(self.tables.len());
        if known.is_none() {
            self.tables.push(DumpedTable { name: name.to_owned(), rows: Vec::new() });
        }
        &mut self.tables[index].rows
    }

    /// A name such as `apps`, `"public"."apps"`; the last part of it. `None` if none stands here.
    fn table_name(&mut self) -> Result<Option<String>, BadInput> {
        let mut name = None;
        while let Some(part) = self.tokens.peek()?.and_then(|token| token.name()) {
            self.tokens.next()?;
            name = Some(part);
            match self.tokens.peek()? {
                Some(token) if token.is('.') => self.tokens.next()?,
                _ => break,
            };
        }
        Ok(name)
    }

    /// `CREATE TABLE name (column type, …)`.
    fn create(&mut self) -> Result<(), BadInput> {
        let mut last = self.tokens.next()?;
        let is_table = last.as_ref().is_some_and(|token| token.word().as_deref() == Some("TABLE"));
        if is_table {
            for word in ["IF", "NOT", "EXISTS"] {
                self.tokens.skip_word(word)?;
            }
            let name = self.table_name()?;
            last = self.tokens.next()?;
            if let (Some(name), Some(open)) = (name, &last)
                && open.is('(')
            {
                let columns = self.created_columns()?;
                self.columns.insert(name, columns);
                last = self.tokens.next()?;
            }
        }
        match last {
            Some(last) => self.skip_statement(&last),
            None => Ok(()),
        }
    }

    /// The columns among the definitions up to the closing bracket.
    fn created_columns(&mut self) -> Result<Vec<String>, BadInput> {
        let (mut columns, mut begun, mut depth) = (Vec::new(), Vec::new(), 0_usize);
        while let Some(token) = self.tokens.next()? {
            match token.kind {
                TokenKind::Mark(')') if depth == 0 => break,
                TokenKind::Mark(',') if depth == 0 => {
                    columns.extend(defined_column(&begun));
                    begun.clear();
                    continue;
                }
                TokenKind::Mark('(') => depth += 1,
                TokenKind::Mark(')') => depth -= 1,
                _ => {}
            }
            if begun.len() < DECISIVE_TOKENS {
                begun.push(token);
            }
        }
        columns.extend(defined_column(&begun));
        Ok(columns)
    }

    /// `(column, …)`, or those that the table was created with.
    fn columns_of(&mut self, table: &str) -> Result<Vec<String>, BadInput> {
        if !self.tokens.peek()?.is_some_and(|token| token.is('(')) {
            return Ok(self.columns.get(table).cloned().unwrap_or_default());
        }
        self.tokens.next()?;
        let mut columns = Vec::new();
        while let Some(token) = self.tokens.next()? {
            match token.kind {
                TokenKind::Mark(')') => break,
                _ => columns.extend(token.name()),
            }
        }
        Ok(columns)
    }

    /// `INSERT INTO name (column, …) VALUES (value, …), …;`.
    fn insert(&mut self) -> Result<(), BadInput> {
        for word in ["IGNORE", "INTO"] {
            self.tokens.skip_word(word)?;
        }
        let table = self.table_name()?.unwrap_or_default();
        let columns = self.columns_of(&table)?;
        let Some(values) = self.tokens.next()? else { return Ok(()) };
        let is_of_apps = are_of_apps(columns.iter().map(String::as_str));
        if !is_of_apps || values.word().as_deref() != Some("VALUES") {
            if table == APPS && !is_of_apps {
                return Err(values.bad("expected the names of the columns, or CREATE TABLE before them"));
            }
            return self.skip_statement(&values);
        }
        self.rows_of(&table);
        loop {
            let Some(open) = self.tokens.next()? else { return Ok(()) };
            if open.is(';') {
                return Ok(());
            }
            if open.is(',') {
                continue;
            }
            if !open.is('(') {
                // ON CONFLICT, ON DUPLICATE KEY and the like.
                return self.skip_statement(&open);
            }
            let row = self.values()?;
            if row.len() != columns.len() {
                let message =
                    format!("expected {} values, one for each column, got {}", columns.len(), row.len());
                return Err(open.bad(&message));
            }
            let row = columns.iter().map(String::as_str).zip(row);
            let record = AppRecord::new(open.line, row);
            self.rows_of(&table).push(record);
        }
    }

    /// The values up to the closing bracket. Of what is no plain value, such as a call, the text is not taken.
    fn values(&mut self) -> Result<Vec<Option<String>>, BadInput> {
        let (mut values, mut value, mut depth) = (Vec::new(), None, 0_usize);
        while let Some(token) = self.tokens.next()? {
            match token.kind {
                TokenKind::Mark('(') => depth += 1,
                TokenKind::Mark(')') if depth == 0 => {
                    values.push(value);
                    return Ok(values);
                }
                TokenKind::Mark(')') => depth -= 1,
                TokenKind::Mark(',') if depth == 0 => values.push(value.take()),
                // b'1', E'text': what is quoted counts.
                TokenKind::Text(text) if depth == 0 => value = Some(text),
                TokenKind::Word(word) if depth == 0 && value.is_none() => {
                    value = (!word.eq_ignore_ascii_case("NULL")).then_some(word);
                }
                _ => {}
            }
        }
        Err(self.tokens.bad_here("expected a closing bracket, got the end of the file"))
    }

    /// `COPY name (column, …) FROM stdin;` and lines with a tab between the values, up to `\.`.
    fn copy(&mut self) -> Result<(), BadInput> {
        let table = self.table_name()?.unwrap_or_default();
        let columns = self.columns_of(&table)?;
        let mut from_here = false;
        loop {
            match self.tokens.next()? {
                None => return Ok(()),
                Some(token) if token.is(';') => break,
                Some(token) => from_here |= token.word().as_deref() == Some("STDIN"),
            }
        }
        if !from_here {
            return Ok(());
        }
        let is_of_apps = are_of_apps(columns.iter().map(String::as_str));
        if is_of_apps {
            self.rows_of(&table);
        }
        while let Some((number, line)) = self.tokens.line() {
            if line == "\\." {
                break;
            }
            if !is_of_apps || line.is_empty() {
                continue;
            }
            let row: Vec<_> = line.split('\t').map(tokens::copied).collect();
            if row.len() != columns.len() {
                let message =
                    format!("expected {} values, one for each column, got {}", columns.len(), row.len());
                return Err(BadInput::at(number, 1, message));
            }
            let record = AppRecord::new(number, columns.iter().map(String::as_str).zip(row));
            self.rows_of(&table).push(record);
        }
        Ok(())
    }
}

/// How many tokens of a definition tell whether it is a column's.
const DECISIVE_TOKENS: usize = 4;

/// The name of the column that a definition begins with; `None` if it defines an index or a constraint.
fn defined_column(begun: &[Token]) -> Option<String> {
    const CONSTRAINTS: [&str; 5] = ["PRIMARY", "UNIQUE", "CONSTRAINT", "CHECK", "FOREIGN"];
    const INDEXES: [&str; 2] = ["KEY", "INDEX"];
    /// Before one of those, or alone.
    const INDEX_KINDS: [&str; 2] = ["FULLTEXT", "SPATIAL"];
    let (first, rest) = begun.split_first()?;
    let word = first.word().unwrap_or_default();
    let is_column = !CONSTRAINTS.contains(&word.as_str());
    let goes_on_as_index =
        || rest.first().and_then(Token::word).is_some_and(|next| INDEXES.contains(&next.as_str()));
    let is_of_a_kind = INDEX_KINDS.contains(&word.as_str());
    let is_index = is_of_a_kind && goes_on_as_index()
        || (is_of_a_kind || INDEXES.contains(&word.as_str())) && is_rest_of_index(rest);
    first.name().filter(|_| is_column && !is_index)
}

/// Whether this goes on as `KEY name (column, …)` does, and not as the column `key varchar(255)`: PostgreSQL has no quotes
/// around a column of this name, where MySQL wants them.
fn is_rest_of_index(rest: &[Token]) -> bool {
    match rest {
        [open, ..] if open.is('(') => true,
        [_, using, ..] if using.word().as_deref() == Some("USING") => true,
        [_, open, column, ..] if open.is('(') => {
            !column.word().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        }
        _ => false,
    }
}
