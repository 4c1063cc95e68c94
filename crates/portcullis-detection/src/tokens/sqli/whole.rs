//! Whether a value is one whole query, as query languages of products take it.
//!
//! Trackers, maps, catalogues and data services are asked in parameters: `status = Open and
//! "Epic Link" = ABC-1`, `where=NAME like 'A%' and POP > 5`, `select name from contacts;`. Such
//! a value stands in nothing that it could break out of. It begins with the name of a field
//! and compares it, or is a statement from its first word to its last, where what is injected
//! goes on behind a value, compares what is always true, comments out what follows or asks the
//! server for what it is. So a value counts as a query only if the grammar reads all of it.
//!
//! Sources: JQL, CQL, SOQL, CMIS, Esri REST and Influx references; the grammar is what
//! they share.

mod statement;
#[cfg(test)]
mod tests;

use super::lexer::{Kind, Lexer, Token};

/// How deep brackets and statements may be in each other.
const MOST_DEPTH: u32 = 16;

/// Words that compare, besides signs.
const COMPARE: &str = "like ilike eq ne gt ge lt le contains matches startswith endswith";

/// What tells of the server or delays it, or takes texts apart, is no query of a product.
const NEVER_CALLED: &str = "ascii benchmark char char_length chr current_user database dbms_pipe elt eval exec \
    extractvalue hex if ifnull iif load_extension load_file make_set md5 mid ord pg_sleep \
    randomblob session_user sha1 sleep substr substring system_user unhex updatexml user \
    version waitfor xmltype";

/// Words that end a list or a source, and name nothing there.
const CLAUSES: &str = "from where group order having limit offset join inner left right full cross outer on union \
    into and or maxresults latest sample fill slimit as final format select procedure for \
    except intersect";

/// Whether the whole of a decoded and folded text is a query.
pub(in crate::tokens) fn is_query(text: &[u8]) -> bool {
    if memchr::memmem::find(text, b"/*").is_some() {
        return false;
    }
    let mut lexer = Lexer::new(text, 0);
    let token = lexer.next();
    let mut reader = Reader { text, lexer, token, depth: 0, is_statement: false, compared: false };
    reader.whole().is_some() && reader.token.kind == Kind::End
}

/// What stands on one side of a comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operand<'t> {
    /// The name of a field, or what is computed from one.
    Name,
    /// A text in double quotes: the name of a field where that may have blanks.
    Quoted(&'t [u8]),
    /// Something written out.
    Literal(&'t [u8]),
}

/// Reads a query; every reader gives `None` where there is none.
struct Reader<'t> {
    text: &'t [u8],
    lexer: Lexer<'t>,
    /// What comes next.
    token: Token<'t>,
    depth: u32,
    /// Whether a whole statement is read, which may have others in brackets.
    is_statement: bool,
    /// Whether anything was compared with a field.
    compared: bool,
}

impl<'t> Reader<'t> {
    fn whole(&mut self) -> Option<()> {
        if self.takes("with") {
            self.name()?;
            self.word("as")?;
            self.sign(Kind::Open)?;
            self.select()?;
            self.sign(Kind::Close)?;
        }
        if self.token.is("select") {
            self.select()?;
            self.takes_sign(Kind::Semicolon);
            return Some(());
        }
        self.conditions()?;
        if self.takes("order") {
            self.word("by")?;
            self.order()?;
        }
        self.compared.then_some(())
    }

    /// Comparisons and what joins them.
    fn conditions(&mut self) -> Option<()> {
        self.deeper(|reader| {
            let mut is_all = true;
            loop {
                while reader.takes("not") {}
                let always = reader.condition()?;
                let joined = reader.token.kind == Kind::Logic || reader.token.text == b"&";
                let joins_all = reader.token.is("and") || matches!(reader.token.text, b"&&" | b"&");
                // What is always true may be one of several that must hold, and no other.
                if always && !(is_all && (!joined || joins_all)) {
                    return None;
                }
                if !joined {
                    return Some(());
                }
                is_all = joins_all;
                reader.advance();
            }
        })
    }

    /// One comparison, or several in brackets. Gives whether it is always true: `1=1`.
    fn condition(&mut self) -> Option<bool> {
        if self.token.kind == Kind::Open && !self.ahead().is("select") {
            let before = (self.lexer, self.token);
            self.advance();
            if self.conditions().is_some() && self.takes_sign(Kind::Close) {
                return Some(false);
            }
            (self.lexer, self.token) = before;
        }
        let is_call = self.token.kind == Kind::Word && self.ahead().kind == Kind::Open;
        let left = self.value()?;
        while self.takes("not") {}
        if self.takes("between") {
            self.value()?;
            self.word("and")?;
            self.value()?;
        } else if self.takes("is") {
            while self.takes("not") {}
            self.sign(Kind::Word)?;
        } else if self.takes("in") {
            self.list()?;
        } else if self.token.is_one_of(&["was", "changed"]) {
            self.history()?;
        } else if self.compares() {
            let right = self.right()?;
            return match (left, right) {
                (Operand::Literal(left), Operand::Literal(right)) => {
                    let is_always = left == right && left.iter().all(u8::is_ascii_digit);
                    self.compared |= is_always;
                    is_always.then_some(true)
                }
                (Operand::Quoted(left), Operand::Quoted(right)) if left == right => None,
                (Operand::Literal(left), _) if !left[0].is_ascii_digit() => None,
                _ => {
                    self.compared = true;
                    Some(false)
                }
            };
        } else {
            // What a function says, as `contains(name, 'a')`.
            return (is_call && left == Operand::Name).then_some(false);
        }
        self.compared = true;
        (!matches!(left, Operand::Literal(_))).then_some(false)
    }

    /// A comparison, in signs or as a word.
    fn compares(&mut self) -> bool {
        let signs = |token: &Token<'_>| {
            token.kind == Kind::Compare || matches!(token.text, b"==" | b"~" | b"!" | b":")
        };
        if self.is_word(COMPARE) {
            self.advance();
            return true;
        }
        let first = self.token;
        if !signs(&first) {
            return false;
        }
        self.advance();
        if matches!(first.text, b"=" | b"!") && self.token.text == b"~" {
            self.advance();
            return true;
        }
        first.text != b"!"
    }

    /// What a field is compared with; an expression between strokes, too.
    fn right(&mut self) -> Option<Operand<'t>> {
        if self.token.text != b"/" {
            return self.value();
        }
        let inside = self.lexer.rest();
        let length = memchr::memchr(b'/', inside)?;
        self.lexer = Lexer::new(self.text, self.text.len() - inside.len() + length + 1);
        self.advance();
        Some(Operand::Literal(inside))
    }

    /// `was in (…) by …`, `changed from … to …`
    fn history(&mut self) -> Option<()> {
        self.advance();
        while self.takes("not") {}
        if self.takes("in") {
            self.list()?;
        } else if matches!(self.token.kind, Kind::Text { .. }) {
            self.value()?;
        }
        while self.token.is_one_of(&["by", "before", "after", "on", "during", "from", "to"]) {
            self.advance();
            self.value()?;
        }
        Some(())
    }

    /// `(a, b)`, a statement in brackets, or what a function gives.
    fn list(&mut self) -> Option<()> {
        if self.token.kind != Kind::Open {
            return self.value().map(|_| ());
        }
        if self.is_statement && self.ahead().is("select") {
            self.advance();
            self.select()?;
            return self.sign(Kind::Close);
        }
        self.arguments()
    }

    /// Values in brackets.
    fn arguments(&mut self) -> Option<()> {
        self.deeper(|reader| {
            reader.sign(Kind::Open)?;
            if reader.takes_sign(Kind::Close) {
                return Some(());
            }
            loop {
                reader.takes("distinct");
                if reader.token.text == b"*" {
                    reader.advance();
                } else {
                    reader.value()?;
                    if reader.compares() {
                        reader.value()?;
                    }
                }
                if !reader.takes_sign(Kind::Comma) {
                    return reader.sign(Kind::Close);
                }
            }
        })
    }

    /// Operands, computed with.
    fn value(&mut self) -> Option<Operand<'t>> {
        let mut value = self.operand()?;
        while matches!(self.token.text, b"+" | b"-" | b"*" | b"/" | b"%") {
            self.advance();
            let other = self.operand()?;
            if other == Operand::Name {
                value = other;
            }
        }
        Some(value)
    }

    fn operand(&mut self) -> Option<Operand<'t>> {
        let start = self.token.start;
        match self.token.kind {
            Kind::Arithmetic if matches!(self.token.text, b"-" | b"+") => {
                self.advance();
                self.number()?;
                Some(Operand::Literal(self.text.get(start..self.token.start)?))
            }
            Kind::Number => {
                let number = self.token.text;
                self.number()?;
                Some(Operand::Literal(number))
            }
            Kind::Text { closed: true } => {
                let text = self.token.text;
                self.advance();
                while self.token.text == b"." {
                    self.advance();
                    self.name()?;
                }
                Some(if text[0] == b'"' { Operand::Quoted(text) } else { Operand::Literal(text) })
            }
            Kind::Open => self.deeper(|reader| {
                reader.advance();
                let value = reader.value()?;
                reader.sign(Kind::Close)?;
                Some(value)
            }),
            Kind::Word
                if self.token.is_one_of(&["date", "timestamp", "time", "interval"])
                    && matches!(self.ahead().kind, Kind::Text { closed: true }) =>
            {
                self.advance();
                self.operand()
            }
            Kind::Word if self.ahead().kind == Kind::Open => {
                if self.is_word(NEVER_CALLED) || self.token.is("select") {
                    return None;
                }
                self.advance();
                self.arguments()?;
                Some(Operand::Name)
            }
            _ => self.name().map(|()| Operand::Name),
        }
    }

    /// A number with its unit.
    fn number(&mut self) -> Option<()> {
        let number = self.token;
        self.sign(Kind::Number)?;
        let is_unit = self.token.kind == Kind::Word
            && self.token.start == number.end()
            && self.token.text.len() <= 2;
        if is_unit {
            self.advance();
        }
        Some(())
    }

    /// A name of a field or a table: `a.b`, `a:b`, `[a:b]`, `a[1]`, `"a b"`.
    fn name(&mut self) -> Option<()> {
        match self.token.kind {
            Kind::Text { closed: true } if self.token.text[0] == b'"' => {
                self.advance();
                return Some(());
            }
            Kind::Other if self.token.text == b"[" => {
                self.advance();
                self.name()?;
                return self.other(b"]");
            }
            // A shell would run what stands between two such quotes.
            Kind::Word if self.token.text[0] == b'`' => {
                let inside = &self.token.text[1..self.token.text.len() - 1];
                let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                inside.iter().all(is_name).then_some(())?;
                self.advance();
            }
            Kind::Word | Kind::Variable if !self.is_word(CLAUSES) => self.advance(),
            _ => return None,
        }
        if self.token.text == b"[" {
            self.advance();
            self.advance();
            self.other(b"]")?;
        }
        // `a:b` is a name in a name space, and `a : b` compares.
        let end = self.token.start;
        let is_joined = self.text.get(end.wrapping_sub(1)) != Some(&b' ')
            && self.text.get(end + 1) != Some(&b' ');
        if self.token.text == b":" && is_joined && self.ahead().kind == Kind::Word {
            self.advance();
            self.advance();
        }
        // All fields of a table.
        if self.token.text == b"." && self.ahead().text == b"*" {
            self.advance();
            self.advance();
        }
        Some(())
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let read = if self.depth > MOST_DEPTH { None } else { read(self) };
        self.depth -= 1;
        read
    }

    /// Whether the next is one of those words, which blanks separate.
    fn is_word(&self, words: &str) -> bool {
        words.split(' ').any(|word| self.token.is(word))
    }

    fn ahead(&self) -> Token<'t> {
        { self.lexer }.next()
    }

    fn advance(&mut self) {
        self.token = self.lexer.next();
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_there = self.token.is(word);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn takes_sign(&mut self, kind: Kind) -> bool {
        let is_there = self.token.kind == kind;
        if is_there {
            self.advance();
        }
        is_there
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.takes(word).then_some(())
    }

    fn sign(&mut self, kind: Kind) -> Option<()> {
        self.takes_sign(kind).then_some(())
    }

    fn other(&mut self, text: &[u8]) -> Option<()> {
        let is_there = self.token.text == text;
        if is_there {
            self.advance();
        }
        is_there.then_some(())
    }
}
