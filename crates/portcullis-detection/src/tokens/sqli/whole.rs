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

mod called;
mod quoted;
mod statement;
#[cfg(test)]
mod tests;

use super::lexer::{Kind, Lexer, Token};
use crate::tokens::words::Words;
use called::is_never_called;
use quoted::is_plain;

/// How deep brackets and statements may be in each other.
const MOST_DEPTH: u32 = 16;

/// Most tokens of a query, twenty times what people write: in a text of more there is none.
const MOST_TOKENS: u32 = 512;

/// Digits of a number that tells the moment, and is sent so that no cache answers.
const MOMENT_DIGITS: usize = 8;

/// Words that compare, besides signs.
static COMPARE: Words<(), 32> =
    Words::listed("like ilike eq ne gt ge lt le contains matches startswith endswith", ());

/// Words that end a list or a source, and name nothing there.
static CLAUSES: Words<(), 128> = Words::listed(
    "from where group order having limit offset join inner left right full cross outer on union \
    into and or maxresults latest sample fill slimit as final format select procedure for \
    except intersect",
    (),
);

/// Whether the whole of a decoded and folded text is a query.
pub(in crate::tokens) fn is_query(text: &[u8]) -> bool {
    if memchr::memmem::find(text, b"/*").is_some() {
        return false;
    }
    let mut lexer = Lexer::new(text, 0);
    let token = lexer.next();
    let mut reader = Reader {
        text,
        lexer,
        token,
        depth: 0,
        tokens: 0,
        is_statement: false,
        compared: false,
        always: false,
    };
    reader.whole().is_some() && reader.token.kind == Kind::End
}

/// What stands on one side of a comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operand<'t> {
    /// The name of a field, or what is computed from one.
    Name,
    /// A text in double quotes: the name of a field where that may have blanks.
    Quoted,
    /// Something written out.
    Literal(&'t [u8]),
}

/// What conditions consist of.
#[derive(Clone, Copy)]
enum Part<'t> {
    /// A comparison with a field, or several in brackets.
    Condition,
    /// A number that equals itself, so that something stands where a condition must.
    Always(&'t [u8]),
    /// No comparison.
    Value(Operand<'t>),
}

/// Reads a query; every reader gives `None` where there is none.
struct Reader<'t> {
    text: &'t [u8],
    lexer: Lexer<'t>,
    /// What comes next.
    token: Token<'t>,
    depth: u32,
    /// Read so far.
    tokens: u32,
    /// Whether a whole statement is read, which may have others in brackets.
    is_statement: bool,
    /// Whether anything was compared with a field.
    compared: bool,
    /// Whether something is always true.
    always: bool,
}

impl<'t> Reader<'t> {
    fn whole(&mut self) -> Option<()> {
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
        (self.compared || self.always).then_some(())
    }

    /// Comparisons and what joins them.
    fn conditions(&mut self) -> Option<()> {
        self.deeper(|reader| {
            let first = reader.part()?;
            reader.joined(first)
        })
    }

    /// What is joined to a first condition.
    fn joined(&mut self, mut part: Part<'t>) -> Option<()> {
        let (mut is_first, mut is_all) = (true, true);
        loop {
            let joined = self.joins();
            let joins_all = self.token.is("and") || matches!(self.token.text, b"&&" | b"&");
            match part {
                Part::Condition => {}
                // `1=1` may come first, where others are joined to it, and a number of the moment
                // anywhere; of several that must hold, and no other.
                Part::Always(number)
                    if is_all
                        && (!joined || joins_all)
                        && (is_first || !self.compared || number.len() >= MOMENT_DIGITS) =>
                {
                    self.always = true;
                }
                Part::Always(_) | Part::Value(_) => return None,
            }
            if !joined {
                return Some(());
            }
            (is_first, is_all) = (false, joins_all);
            self.advance();
            part = self.part()?;
        }
    }

    fn joins(&self) -> bool {
        self.token.kind == Kind::Logic || self.token.text == b"&"
    }

    /// One comparison, several in brackets, or a value by itself.
    fn part(&mut self) -> Option<Part<'t>> {
        while self.takes("not") {}
        let start = self.token.start;
        let is_call = self.token.kind == Kind::Word && self.ahead().kind == Kind::Open;
        let left = if self.token.kind == Kind::Open && !self.ahead().is("select") {
            match self.bracket()? {
                Part::Value(value) => self.computed(value)?,
                part => return Some(part),
            }
        } else {
            self.value()?
        };
        let end = self.token.start;
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
        } else if self.token.text == b"=" && self.ahead().is_one_of(&["in", "out", "like"]) {
            // `=in=`
            self.advance();
            self.advance();
            self.sign(Kind::Compare)?;
            self.list()?;
        } else if self.token.is_one_of(&["was", "changed"]) {
            self.history()?;
        } else if self.compares() {
            let right_start = self.token.start;
            let right = self.right()?;
            let right_end = self.token.start;
            let is_same = self.text[start..end].trim_ascii()
                == self.text[right_start..right_end].trim_ascii();
            return match (left, right) {
                (Operand::Literal(number), Operand::Literal(_)) => (is_same
                    && number.iter().all(u8::is_ascii_digit))
                .then_some(Part::Always(number)),
                (Operand::Literal(_), _) => None,
                _ if is_same => None,
                _ => {
                    self.compared = true;
                    Some(Part::Condition)
                }
            };
        } else if is_call && left == Operand::Name {
            // What a function says, as `contains(name, 'a')`.
            return Some(Part::Condition);
        } else {
            return Some(Part::Value(left));
        }
        self.compared = true;
        (!matches!(left, Operand::Literal(_))).then_some(Part::Condition)
    }

    /// Conditions in brackets, or a value.
    fn bracket(&mut self) -> Option<Part<'t>> {
        self.deeper(|reader| {
            reader.advance();
            let part = reader.part()?;
            let is_value = matches!(part, Part::Value(_)) && !reader.joins();
            if !is_value {
                reader.joined(part)?;
            }
            reader.sign(Kind::Close)?;
            Some(if is_value { part } else { Part::Condition })
        })
    }

    /// A comparison, in signs or as a word.
    fn compares(&mut self) -> bool {
        let signs = |token: &Token<'_>| {
            token.kind == Kind::Compare || matches!(token.text, b"==" | b"~" | b"!" | b":")
        };
        if self.is_word(&COMPARE) {
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
        if inside[..length].iter().any(|byte| b"'\"`;=<>#$ ".contains(byte)) {
            return None;
        }
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
        let first = self.operand()?;
        self.computed(first)
    }

    /// The same, behind its first operand.
    fn computed(&mut self, mut value: Operand<'t>) -> Option<Operand<'t>> {
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
            Kind::Text { closed: true } if is_plain(self.token.text) => {
                let text = self.token.text;
                self.advance();
                while self.token.text == b"." {
                    self.advance();
                    self.name()?;
                }
                Some(if text[0] == b'"' { Operand::Quoted } else { Operand::Literal(text) })
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
                if self.token.is("select") || is_never_called(self.token.text) {
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
            Kind::Text { closed: true }
                if self.token.text[0] == b'"' && is_plain(self.token.text) =>
            {
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
            // What begins with two signs is the server's.
            Kind::Variable if self.token.text.starts_with(b"@@") => return None,
            Kind::Word | Kind::Variable if !self.is_word(&CLAUSES) => self.advance(),
            _ => return None,
        }
        if self.token.text == b"[" {
            self.advance();
            matches!(self.token.kind, Kind::Number | Kind::Word).then_some(())?;
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

    /// Whether the next is one of those words.
    fn is_word<const SLOTS: usize>(&self, words: &Words<(), SLOTS>) -> bool {
        words.get(self.token.text).is_some()
    }

    fn ahead(&self) -> Token<'t> {
        { self.lexer }.next()
    }

    fn advance(&mut self) {
        self.tokens += 1;
        // What follows too many is nothing that a query has.
        let end = Token { kind: Kind::Other, text: b"", start: self.text.len() };
        self.token = if self.tokens > MOST_TOKENS { end } else { self.lexer.next() };
    }

    /// Goes on if the next is what is wanted.
    fn takes_if(&mut self, is_there: bool) -> bool {
        if is_there {
            self.advance();
        }
        is_there
    }

    fn takes(&mut self, word: &str) -> bool {
        self.takes_if(self.token.is(word))
    }

    fn takes_sign(&mut self, kind: Kind) -> bool {
        self.takes_if(self.token.kind == kind)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.takes(word).then_some(())
    }

    fn sign(&mut self, kind: Kind) -> Option<()> {
        self.takes_sign(kind).then_some(())
    }

    fn other(&mut self, text: &[u8]) -> Option<()> {
        self.takes_if(self.token.text == text).then_some(())
    }
}
