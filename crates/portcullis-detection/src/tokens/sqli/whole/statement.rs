//! Statements from their first word to their last.

use super::super::lexer::Kind;
use super::{CLAUSES, Operand, Reader};

/// Most tables that a statement asks, and most that it joins to each.
const MOST_SOURCES: usize = 8;

/// Words that join tables.
const JOINS: &[&str] = &["inner", "left", "right", "full", "cross", "outer", "join"];

/// Where a server keeps what it knows of itself.
const INTERNALS: &str = "information_schema mysqluser mysqldb pg_ sysobjects syscolumns sysdatabases \
    systables sqlite_ pragma_ all_t user_tables dual v$ master msys dba_ performance_schema";

impl Reader<'_> {
    /// `select … from … where …`
    pub(super) fn select(&mut self) -> Option<()> {
        self.deeper(|reader| {
            reader.is_statement = true;
            reader.word("select")?;
            if reader.takes("top") {
                reader.sign(Kind::Number)?;
            } else if reader.token.is_one_of(&["distinct", "all"]) {
                reader.advance();
            }
            loop {
                reader.item()?;
                if !reader.takes_sign(Kind::Comma) {
                    break;
                }
            }
            if reader.takes("from") {
                reader.sources()?;
            } else if !reader.token.is_one_of(&["where", "order", "group", "limit"]) {
                // Only a service that has one table lets it be left out.
                return None;
            }
            reader.clauses()
        })
    }

    /// What is selected: a star, or something computed from fields.
    fn item(&mut self) -> Option<()> {
        if self.token.text == b"*" {
            self.advance();
            return Some(());
        }
        if self.token.kind == Kind::Open && self.ahead().is("select") {
            self.advance();
            self.select()?;
            self.sign(Kind::Close)?;
        } else if matches!(self.value()?, Operand::Literal(_)) {
            return None;
        }
        self.alias()
    }

    fn alias(&mut self) -> Option<()> {
        if self.takes("as") {
            return self.name();
        }
        if self.token.kind == Kind::Word && !self.is_word(&CLAUSES) {
            self.advance();
        }
        Some(())
    }

    fn sources(&mut self) -> Option<()> {
        for _ in 0..MOST_SOURCES {
            self.source()?;
            for _ in 0..MOST_SOURCES {
                if !self.token.is_one_of(JOINS) {
                    break;
                }
                while !self.takes("join") {
                    self.token.is_one_of(JOINS).then_some(())?;
                    self.advance();
                }
                self.source()?;
                if self.takes("on") {
                    self.conditions()?;
                }
            }
            if !self.takes_sign(Kind::Comma) {
                return Some(());
            }
        }
        None
    }

    fn source(&mut self) -> Option<()> {
        if self.takes_sign(Kind::Open) {
            self.select()?;
            self.sign(Kind::Close)?;
            return self.alias();
        }
        let start = self.token.start;
        self.name()?;
        while self.token.text == b"." {
            self.advance();
            self.name()?;
        }
        let name = self.text.get(start..self.token.start)?;
        let is_mark = |byte: &u8| b" [].\"`".contains(byte);
        let name: Vec<u8> = name.iter().copied().filter(|byte| !is_mark(byte)).collect();
        let mut internals = INTERNALS.split(' ');
        if internals.any(|part| memchr::memmem::find(&name, part.as_bytes()).is_some()) {
            return None;
        }
        if self.token.kind == Kind::Open {
            self.arguments()?;
        }
        self.alias()
    }

    fn clauses(&mut self) -> Option<()> {
        loop {
            if self.takes("where") || self.takes("having") {
                self.conditions()?;
            } else if self.takes("group") || self.takes("order") {
                self.word("by")?;
                self.order()?;
            } else if self.token.is_one_of(&["limit", "offset", "slimit", "maxresults"]) {
                self.advance();
                self.sign(Kind::Number)?;
                if self.takes_sign(Kind::Comma) {
                    self.sign(Kind::Number)?;
                }
            } else if self.token.is("fill") {
                self.advance();
                self.arguments()?;
            } else {
                return Some(());
            }
        }
    }

    pub(super) fn order(&mut self) -> Option<()> {
        loop {
            self.value()?;
            while self.token.is_one_of(&["asc", "desc", "nulls", "null", "first", "last"]) {
                self.advance();
            }
            if !self.takes_sign(Kind::Comma) {
                return Some(());
            }
        }
    }
}
