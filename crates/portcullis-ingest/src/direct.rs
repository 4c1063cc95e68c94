//! Reads plain records in one pass, straight into a request.
//!
//! Almost every record is plain: written as its template says, without an escape, with
//! values of their types and one possible reading. This module notices while it reads
//! when a record is not, and gives up; then `cut` and `value` read it, or refuse it. So
//! nothing is decided here: what this reads, they would read the same, and a test says so.
//!
//! What makes a reading the only one, without a search: in JSON a string ends at its
//! first quote. In XML, when the record has no more `<` than its template, no value holds
//! one. In lines, a value whose type excludes the text around it (no address holds a
//! blank) ends where that text first stands, seen from either end of the record; and what
//! is left in the middle has one reading when the cuts from its two ends agree.

use crate::cut::{Piece, quote_or_backslash};
use crate::draft::split_target;
use crate::template::{Capture, Form, Setting, Template};
use crate::value::{parse_whole, waf_action};
use crate::variable::{Shape, Slot, parse_status};
use crate::{Origin, Request, Timestamp, Untrusted, parse_address};

/// How the plain records of a template are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Not here: every record goes the long way.
    None,
    /// Strings and bare numbers of a JSON object.
    Json,
    /// By the number of `<` in the fixed text.
    Markup(usize),
    /// The values before the first of these are cut from the left, those from the second
    /// on from the right.
    Line(usize, usize),
}

impl Plan {
    pub(crate) fn of(form: Form, captures: &[Capture], tail: &[u8]) -> Self {
        if captures.is_empty() || !are_simple(captures) {
            return Self::None;
        }
        match form {
            Form::Json => {
                let plain = |capture: &Capture| match capture.setting {
                    Setting::Quoted => capture.fills_quotes,
                    Setting::Bare => capture.slot == Slot::Other || excludes(capture.shape, b'\\'),
                    Setting::Markup => false,
                };
                let closed = captures.iter().skip(1).all(|c| !c.before.is_empty());
                if closed && !tail.is_empty() && captures.iter().all(plain) {
                    return Self::Json;
                }
                Self::None
            }
            Form::Xml => {
                let marks = |text: &[u8]| memchr::memchr_iter(b'<', text).count();
                let fixed = captures.iter().map(|c| marks(&c.before)).sum::<usize>() + marks(tail);
                let told_apart = captures.iter().skip(1).all(|c| c.before.contains(&b'<'));
                if told_apart { Self::Markup(fixed) } else { Self::None }
            }
            Form::Csv | Form::Line => {
                let last = captures.len() - 1;
                let ends =
                    |index: usize| excludes(captures[index].shape, captures[index + 1].before[0]);
                let left = (0..last).take_while(|index| ends(*index)).count();
                let begins = |index: usize| {
                    let before = &captures[index].before;
                    excludes(captures[index].shape, before[before.len() - 1])
                };
                let right = (left + 1..=last).rev().take_while(|index| begins(*index)).count();
                Self::Line(left, captures.len() - right)
            }
        }
    }
}

/// Whether every value fills a field of its own, as it is.
fn are_simple(captures: &[Capture]) -> bool {
    let kept = || captures.iter().filter(|capture| capture.slot != Slot::Other);
    let once = |capture: &Capture| kept().filter(|other| other.slot == capture.slot).count() == 1;
    kept().all(|capture| capture.slot != Slot::QueryParameter && once(capture))
}

/// Whether no value of that shape holds `byte`, quotes around the value aside.
fn excludes(shape: Shape, byte: u8) -> bool {
    let may_hold = match shape {
        Shape::Address => byte.is_ascii_alphanumeric() || b":.[]%-".contains(&byte),
        Shape::ClfTime => byte.is_ascii_alphanumeric() || b"/:+-. ".contains(&byte),
        Shape::Epoch | Shape::Integer | Shape::Status => {
            byte.is_ascii_digit() || b"-.".contains(&byte)
        }
        Shape::Id | Shape::Protocol => byte.is_ascii_alphanumeric() || b"_=+/.:-".contains(&byte),
        Shape::Token => byte.is_ascii_graphic() && byte != b'"',
        Shape::Resource => !byte.is_ascii_whitespace() && byte != b'"',
        Shape::RouteKey => byte == b' ' || !byte.is_ascii_whitespace(),
        Shape::Free => true,
    };
    !may_hold
}

/// What the record before held: times repeat, and the names of the API always do.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    text: [u8; 26],
    time: Option<Timestamp>,
    /// By the number of the value: one that repeats, with the quote that ends it.
    repeated: Vec<Vec<u8>>,
}

impl Memory {
    fn time(&mut self, text: &[u8]) -> Option<Timestamp> {
        if text != self.text {
            let known: &[u8; 26] = text.try_into().ok()?;
            self.time = Timestamp::parse_clf(known);
            self.text = *known;
        }
        self.time
    }

    /// Where the value ends, if it is the one of the record before.
    #[inline]
    fn repeated_end(&self, index: usize, text: &[u8], at: usize) -> Option<usize> {
        let known = self.repeated.get(index).filter(|known| !known.is_empty())?;
        Some(after(text, at, known)? - 1)
    }

    fn remember(&mut self, index: usize, quoted: &[u8]) {
        if self.repeated.len() <= index {
            self.repeated.resize(index + 1, Vec::new());
        }
        self.repeated[index].clear();
        self.repeated[index].extend_from_slice(quoted);
    }
}

/// Whether most records of an object have the same value there.
fn repeats(slot: Slot) -> bool {
    matches!(
        slot,
        Slot::ApiId | Slot::Stage | Slot::Host | Slot::Protocol | Slot::WafAction | Slot::Other
    )
}

/// A request in the making, while no value needs a decision.
pub(crate) struct Filling<'o, 't> {
    request: Request<'o>,
    request_id: Option<Untrusted<'o>>,
    time_clf: Option<Timestamp>,
    /// Rank of the principal that is known.
    principal: u8,
    memory: &'t mut Memory,
}

impl<'o, 't> Filling<'o, 't> {
    pub(crate) fn new(origin: Origin<'o>, memory: &'t mut Memory) -> Self {
        let request = Request { origin, ..Request::default() };
        Self { request, request_id: None, time_clf: None, principal: u8::MAX, memory }
    }

    /// Takes a value; `None` when it is not of its type.
    #[inline]
    fn take(&mut self, capture: &Capture, value: &'o [u8]) -> Option<()> {
        if value.is_empty() || value == b"-" {
            return Some(());
        }
        let request = &mut self.request;
        match capture.slot {
            Slot::Client => request.client = Some(parse_address(value)?),
            Slot::TimeClf => self.time_clf = Some(self.memory.time(value)?),
            Slot::TimeEpoch => request.time = Some(Timestamp::parse_epoch(value)?),
            Slot::Status => request.status = parse_status(value).ok()?,
            Slot::ResponseBytes => request.response_bytes = parse_whole(value).ok()?,
            Slot::LatencyMs => request.latency_ms = parse_whole(value).ok()?,
            _ => {
                if !capture.shape.holds(value) {
                    return None;
                }
                self.keep(capture.slot, value);
            }
        }
        Some(())
    }

    /// Takes text that has its shape.
    #[inline]
    fn keep(&mut self, slot: Slot, value: &'o [u8]) {
        let request = &mut self.request;
        let text = Some(Untrusted::new(value));
        match slot {
            Slot::WafAction => request.waf_action = waf_action(value),
            Slot::ExtendedId => request.id = text,
            Slot::RequestId => self.request_id = text,
            Slot::Method => request.method = text,
            Slot::Path => {
                let (path, query) = split_target(value);
                request.path = path.map(Untrusted::new);
                request.query = query.map(Untrusted::new);
            }
            Slot::Route => request.route = text,
            Slot::UserAgent => request.user_agent = text,
            Slot::Host => request.host = text,
            Slot::Referer => request.referer = text,
            Slot::Protocol => request.protocol = text,
            Slot::ApiId => request.api_id = text,
            Slot::Stage => request.stage = text,
            Slot::ApiKeyId => request.api_key_id = text,
            Slot::ErrorType => request.error_type = text,
            Slot::ForwardedFor => request.forwarded_for = text,
            Slot::Principal(rank) if rank < self.principal => {
                self.principal = rank;
                request.principal = text;
            }
            _ => {}
        }
    }

    /// The request, once a whole record was read.
    pub(crate) fn request(&mut self) -> &Request<'o> {
        self.request.id = self.request.id.or(self.request_id);
        self.request.time = self.request.time.or(self.time_clf);
        &self.request
    }

    /// Reads the plain JSON record that `text` begins with; gives its length.
    pub(crate) fn json(&mut self, template: &Template, text: &'o [u8]) -> Option<usize> {
        if template.plan != Plan::Json {
            return None;
        }
        let mut at = 0;
        for (index, capture) in template.captures.iter().enumerate() {
            at = after(text, at, &capture.before)?;
            let end = match capture.setting {
                Setting::Quoted if repeats(capture.slot) => {
                    at = self.repeating(index, capture, text, at)?;
                    continue;
                }
                Setting::Quoted => quoted_end(text, at)?,
                _ if text.get(at) == Some(&b'"') => return None,
                _ => at + memchr::memchr(template.text_after(index)[0], &text[at..])?,
            };
            if capture.slot != Slot::Other {
                self.take(capture, &text[at..end])?;
            }
            at = end;
        }
        after(text, at, &template.tail)
    }

    /// Takes a value of a JSON string that often is the one of the record before, which
    /// was found plain; gives its end.
    #[inline]
    fn repeating(
        &mut self,
        index: usize,
        capture: &Capture,
        text: &'o [u8],
        at: usize,
    ) -> Option<usize> {
        if let Some(end) = self.memory.repeated_end(index, text, at) {
            self.keep(capture.slot, &text[at..end]);
            return Some(end);
        }
        let end = quoted_end(text, at)?;
        let value = &text[at..end];
        if capture.slot != Slot::Other {
            self.take(capture, value)?;
        }
        if !matches!(value, b"" | b"-") {
            self.memory.remember(index, &text[at..=end]);
        }
        Some(end)
    }

    /// Reads a plain record of any other form.
    pub(crate) fn record(
        &mut self,
        template: &Template,
        record: &'o [u8],
        pieces: &mut Vec<Piece>,
    ) -> Option<()> {
        match template.plan {
            Plan::Markup(marks) => markup(template, marks, record, self),
            Plan::Line(left, right) => line(template, (left, right), record, pieces, self),
            Plan::None | Plan::Json => None,
        }
    }
}

fn markup<'o>(
    template: &Template,
    marks: usize,
    record: &'o [u8],
    filling: &mut Filling<'o, '_>,
) -> Option<()> {
    let mut at = after(record, 0, template.head())?;
    for (index, capture) in template.captures.iter().enumerate() {
        let next = template.text_after(index);
        let end = match next.first() {
            Some(first) => at + memchr::memchr(*first, &record[at..])?,
            None => record.len(),
        };
        let value = &record[at..end];
        if capture.slot != Slot::Other {
            // A reference stands for another text.
            if memchr::memchr(b'&', value).is_some() {
                return None;
            }
            filling.take(capture, value)?;
        }
        at = after(record, end, next)?;
    }
    let found = memchr::memchr_iter(b'<', record).count();
    (at == record.len() && found == marks).then_some(())
}

fn line<'o>(
    template: &Template,
    (left, right): (usize, usize),
    record: &'o [u8],
    pieces: &mut Vec<Piece>,
    filling: &mut Filling<'o, '_>,
) -> Option<()> {
    let captures = &template.captures;
    let escaped = match template.form {
        Form::Csv => memchr::memchr2(b'"', b'\\', record),
        _ => memchr::memchr(b'\\', record),
    };
    if escaped.is_some() || !record.ends_with(&template.tail) {
        return None;
    }
    let mut start = after(record, 0, template.head())?;
    let mut end = record.len() - template.tail.len();
    for (index, capture) in captures[..left].iter().enumerate() {
        let next = template.text_after(index);
        let found = start + memchr::memchr(next[0], record.get(start..end)?)?;
        take_typed(capture, &record[start..found], filling)?;
        start = after(record, found, next)?;
    }
    for capture in captures[right..].iter().rev() {
        let before = &capture.before;
        let found = start + memchr::memrchr(before[before.len() - 1], record.get(start..end)?)? + 1;
        take_typed(capture, &record[found..end], filling)?;
        end = found.checked_sub(before.len())?;
        if !record[end..].starts_with(before) {
            return None;
        }
    }
    middle(template, left, right, record.get(..end)?, start, pieces)?;
    for (capture, piece) in captures[left..right].iter().zip(&*pieces) {
        take_typed(capture, piece.of(record), filling)?;
    }
    Some(())
}

/// Cuts the values between the two ends, if the cuts from either end agree.
fn middle(
    template: &Template,
    left: usize,
    right: usize,
    record: &[u8],
    mut start: usize,
    pieces: &mut Vec<Piece>,
) -> Option<()> {
    pieces.clear();
    let text = record.get(start..)?;
    let (begin, mut end) = (start, record.len());
    for index in left..right - 1 {
        let next = template.text_after(index);
        let found = start + next.find(record.get(start..)?)?;
        pieces.push(Piece { start, end: found });
        start = found + next.len();
    }
    pieces.push(Piece { start, end });
    for (capture, piece) in template.captures[left..right].iter().zip(&*pieces).skip(1).rev() {
        let before = &capture.before;
        // The text before a value stands once more only where its last byte is in the value,
        // which a type may exclude.
        if !excludes(capture.shape, before[before.len() - 1])
            && begin + before.rfind(&text[..end - begin])? + before.len() != piece.start
        {
            return None;
        }
        end = piece.start - before.len();
    }
    Some(())
}

/// Takes a value whose place rests on its type, so that the type must hold whether or not
/// anybody keeps the value. An empty or a quoted one may be cut in another way.
fn take_typed<'o>(capture: &Capture, value: &'o [u8], filling: &mut Filling<'o, '_>) -> Option<()> {
    if matches!(value, [] | [b'"', ..]) {
        return None;
    }
    if capture.slot == Slot::Other {
        return capture.shape.holds(value).then_some(());
    }
    filling.take(capture, value)
}

/// Where the string ends whose text begins at `at`; `None` when it holds an escape.
#[inline]
fn quoted_end(text: &[u8], at: usize) -> Option<usize> {
    quote_or_backslash(text, at).filter(|end| text[*end] == b'"')
}

/// The place behind `literal`, if it stands at `at`.
#[inline]
fn after(text: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    let end = at + literal.len();
    is_equal(text.get(at..end)?, literal).then_some(end)
}

/// Compares short texts of one length, eight bytes at a time.
#[inline]
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let word = |text: &[u8], at: usize| {
        u64::from_ne_bytes(text[at..at + 8].try_into().expect("eight bytes"))
    };
    let length = one.len();
    if length < 8 || length != other.len() {
        return length == other.len() && one.iter().zip(other).all(|(one, other)| one == other);
    }
    let mut at = 0;
    while at + 8 < length {
        if word(one, at) != word(other, at) {
            return false;
        }
        at += 8;
    }
    word(one, length - 8) == word(other, length - 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::{PRESETS, value};

    /// Templates that log what clients write, in each form, beside the presets.
    const OWN: [&str; 6] = [
        r#"{"id":"$context.requestId","ip":"$context.identity.sourceIp","path":"$context.path","ua":"$context.identity.userAgent","p":{"id":"$context.authorizer.principalId"},"x":"$context.xrayTraceId","status":$context.status,"n":$context.responseLength}"#,
        r#"$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.path $context.protocol" $context.status $context.responseLength "$context.identity.userAgent" $context.requestId"#,
        "<request id=\"$context.requestId\"><ip>$context.identity.sourceIp</ip><path>$context.path</path><ua>$context.identity.userAgent</ua><status>$context.status</status></request>",
        "$context.identity.sourceIp,$context.requestTimeEpoch,$context.path,$context.status,$context.routeKey,$context.requestId",
        "$context.requestId \"$context.path\" $context.integration.latency \"$context.identity.userAgent\" \"$context.stage\"",
        "$context.status|$context.identity.userAgent|$context.path|$context.identity.sourceIp",
    ];

    fn templates() -> Vec<Template> {
        let presets = PRESETS.iter().filter_map(|preset| preset.template).chain(OWN);
        presets.map(|text| Template::parse(text).expect("a template")).collect()
    }

    fn typical(name: &str) -> &'static str {
        match name {
            "identity.sourceIp" => "198.18.0.7",
            "status" => "403",
            "requestTime" => "26/Jan/2026:10:11:07 +0000",
            "requestTimeEpoch" => "1769422267123",
            "responseLength" | "responseLatency" | "integration.latency" => "12",
            "httpMethod" => "GET",
            "protocol" => "HTTP/1.1",
            "routeKey" => "GET /pets",
            "path" | "resourcePath" => "/pets/1",
            "requestId" => "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "extendedRequestId" => "AvfiBE7QvHcFq1g=",
            "wafResponseCode" => "WAF_ALLOW",
            _ => "value",
        }
    }

    fn rendered(template: &Template, value: impl Fn(usize, &str) -> String) -> Vec<u8> {
        let mut text = Vec::new();
        for (index, capture) in template.captures.iter().enumerate() {
            text.extend_from_slice(&capture.before);
            text.extend_from_slice(value(index, &capture.name).as_bytes());
        }
        text.extend_from_slice(&template.tail);
        text
    }

    /// What the long way reads: the record's length, and the request.
    fn long_way<'o>(
        template: &Template,
        text: &'o [u8],
        scratch: &'o mut Vec<u8>,
    ) -> Option<(usize, Request<'o>)> {
        let mut pieces = Vec::new();
        let length = if template.form == Form::Json {
            template.cut_json(text, &mut pieces)?
        } else {
            template.cut(text, &mut pieces).ok()?;
            text.len()
        };
        let record = &text[..length];
        let request = value::request(template, record, &pieces, scratch, Origin::default());
        Some((length, request.ok()?))
    }

    /// Checks a record that is read here, and says whether it is.
    fn check(template: &Template, text: &[u8], memory: &mut Memory) -> bool {
        let mut plain = Filling::new(Origin::default(), memory);
        let read = match template.form {
            Form::Json => plain.json(template, text),
            _ => plain.record(template, text, &mut Vec::new()).map(|()| text.len()),
        };
        let Some(length) = read else { return false };
        let mut scratch = Vec::new();
        let known = long_way(template, text, &mut scratch);
        let text = String::from_utf8_lossy(text);
        assert_eq!(known, Some((length, *plain.request())), "{text}");
        true
    }

    #[test]
    fn plain_records_of_every_preset_are_read_here() {
        for template in templates() {
            let mut memory = Memory::default();
            let text = rendered(&template, |_, name| typical(name).to_owned());
            for _ in 0..2 {
                assert!(check(&template, &text, &mut memory), "{:?}", template.plan);
            }
        }
    }

    /// What a value may be: of its type, or text that ends values and records.
    fn values() -> impl Strategy<Value = Vec<Option<String>>> {
        let fragment = prop::sample::select(vec![
            "\"",
            "\\",
            ",",
            " ",
            "-",
            "'",
            "<",
            ">",
            "&lt;",
            "</ip>",
            "|",
            "?",
            "a",
            "/",
            "é",
            "\\\"",
            "\" 200 5 \"",
            ",200,",
            "203.0.113.66",
            "2001:db8::1",
            "12",
            "404",
            "GET",
            "GET /a",
            "HTTP/2",
            "\t",
            "\",\"ip\":\"203.0.113.66\",\"x\":\"",
            "</path><ua>",
            "1700000000",
            "2026-01-26T10:11:07Z",
            "26/Jan/2026:10:11:08 +0000",
            "[",
            "] \"",
            "}",
            "  ",
        ]);
        let hostile = prop::collection::vec(fragment, 0..4).prop_map(|parts| parts.concat());
        prop::collection::vec(prop_oneof![3 => Just(None), 2 => hostile.prop_map(Some)], 24)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_is_read_here_is_what_the_long_way_reads(
            template in prop::sample::select(templates()),
            records in prop::collection::vec(values(), 1..4),
            // Two values of a record that are hostile at once are enough to confuse it.
            hostile in prop::collection::vec(0_usize..24, 0..3),
            all in any::<bool>(),
        ) {
            let mut memory = Memory::default();
            for values in &records {
                let text = rendered(&template, |index, name| match &values[index] {
                    Some(value) if all || hostile.contains(&index) => value.clone(),
                    _ => typical(name).to_owned(),
                });
                check(&template, &text, &mut memory);
            }
        }
    }
}
