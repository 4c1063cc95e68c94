//! Recognises the format of an object from its first bytes, when none is given.
//!
//! JSON and XML tell by their keys. For lines, every known template tries the first
//! lines, and the one that reads most of them wins; of equals, the first listed.
//!
//! An object may begin with something that is no record: the rest of one that was cut, a
//! page of errors, a line that somebody else wrote. So each form that lines begin in is
//! tried from where it begins first, and what reads most of the first lines is the format;
//! of equals, what came first. There are three forms, so hostile text costs at most three
//! times what one costs, and a look at as many lines as are tried.

use crate::combined::Front;
use crate::cut::Piece;
use crate::format::{LogFormat, PRESETS, Reading};
use crate::frame::{Out, Reader};
use crate::glued::{self, Next, Seam};
use crate::source::envelope;
use crate::source::{alb, cloudfront, waf};
use crate::tally::Tally;
use crate::template::Form;
use crate::variable::Slot;
use crate::{
    ObjectReport, Origin, ReadOptions, Reject, RejectReason, Request, Sink, combined, frame, json,
    keyed, value,
};

/// Records that are tried.
const SAMPLE: usize = 64;

/// Formats of lines that public templates have beside the presets.
const VARIANTS: [(&str, &str); 7] = [
    (
        "clf",
        "$context.identity.sourceIp $context.identity.caller $context.identity.user \
         [$context.requestTime] \"$context.httpMethod $context.resourcePath $context.protocol\" \
         $context.status $context.responseLength $context.requestId $context.extendedRequestId",
    ),
    (
        "clf",
        "$context.identity.sourceIp $context.identity.caller $context.identity.user \
         [$context.requestTime] \"$context.httpMethod $context.resourcePath $context.protocol\" \
         $context.status $context.responseLength $context.requestId",
    ),
    (
        "clf",
        "$context.extendedRequestId $context.identity.sourceIp $context.identity.caller \
         $context.identity.user [$context.requestTime] \"$context.httpMethod \
         $context.resourcePath $context.protocol\" $context.status $context.responseLength \
         $context.requestId",
    ),
    (
        "clf",
        "$context.identity.sourceIp $context.identity.caller $context.identity.user \
         [$context.requestTime] \"$context.httpMethod $context.resourcePath $context.protocol\" \
         $context.status $context.responseLength $context.requestId \
         \"$context.identity.userAgent\"",
    ),
    (
        "csv",
        "$context.identity.sourceIp,$context.identity.caller,$context.identity.user,\
         $context.requestTime,$context.httpMethod,$context.resourcePath,$context.protocol,\
         $context.status,$context.responseLength,$context.requestId",
    ),
    (
        "csv",
        "$context.requestId,$context.identity.sourceIp,$context.identity.caller,\
         $context.identity.user,$context.requestTime,$context.httpMethod,$context.resourcePath,\
         $context.status,$context.protocol,$context.responseLength",
    ),
    (
        "csv",
        "$context.identity.sourceIp,$context.identity.caller,$context.identity.user,\
         $context.requestTime,$context.httpMethod,$context.resourcePath,$context.protocol,\
         $context.status,$context.responseLength,$context.requestId,\
         $context.identity.userAgent",
    ),
];

/// The format of the records that `text` begins with. `whole`: nothing follows.
pub(crate) fn format(text: &[u8], whole: bool) -> Option<LogFormat> {
    if let Some(header) = memchr::memmem::find(text, b"#Fields:")
        && text.trim_ascii_start().starts_with(b"#")
    {
        let line = text[header..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        if cloudfront::columns(&line[b"#Fields:".len()..]).is_some() {
            return LogFormat::preset("cloudfront");
        }
    }
    let text = after_comments(text);
    let starts = starts(text);
    let mut found = starts.iter().filter_map(|start| by_start(start, whole));
    let Some(mut best) = found.next() else {
        // Nothing may separate records from what is in front of the first.
        let object = memchr::memmem::find(text, b"{\"")?;
        let is_new = starts.iter().all(|start| start[0] != b'{');
        return if is_new { by_start(&text[object..], whole) } else { None };
    };
    let mut most = None;
    for other in found {
        let lines = first_lines(text);
        let (read, has_read) = (reads(&other, lines), most.unwrap_or_else(|| reads(&best, lines)));
        most = Some(read.max(has_read));
        if read > has_read {
            best = other;
        }
    }
    Some(best)
}

fn by_start(text: &[u8], whole: bool) -> Option<LogFormat> {
    match text.first()? {
        b'{' => by_object(text, whole),
        b'<' => by_keys(Form::Xml, text, whole),
        _ => by_lines(text, whole),
    }
}

/// The text from where it begins, and from the first of its first lines that begins in each
/// other form.
fn starts(text: &[u8]) -> Vec<&[u8]> {
    let form = |text: &[u8]| text.first().map(|byte| [b'{', b'<'].iter().position(|b| b == byte));
    let mut starts: Vec<&[u8]> = Vec::new();
    let mut rest = text;
    for _ in 0..SAMPLE {
        rest = after_comments(rest);
        if !rest.is_empty() && starts.iter().all(|start| form(start) != form(rest)) {
            starts.push(rest);
        }
        match memchr::memchr(b'\n', rest) {
            Some(end) => rest = &rest[end..],
            None => break,
        }
    }
    starts
}

fn first_lines(text: &[u8]) -> &[u8] {
    let end = memchr::memchr_iter(b'\n', text).nth(SAMPLE - 1);
    end.map_or(text, |end| &text[..=end])
}

/// How many records of a text are read in that format.
fn reads(format: &LogFormat, mut text: &[u8]) -> u64 {
    struct Nobody;
    impl Sink for Nobody {
        fn request(&mut self, _: &Request<'_>) {}
        fn reject(&mut self, _: &Reject<'_>) {}
    }
    let (options, mut report) = (ReadOptions::default(), ObjectReport::default());
    let mut tally = Tally::new("", &options, &report);
    let mut reader = Reader::new(Some(format));
    while !text.is_empty() {
        let mut out = Out { sink: &mut Nobody, tally: &mut tally };
        match reader.step(text, true, Origin::default(), &mut out) {
            Some(length) => text = &text[length..],
            None => break,
        }
    }
    tally.tell(&mut report);
    report.requests
}

fn after_comments(mut text: &[u8]) -> &[u8] {
    loop {
        text = frame::after_separators(text);
        if text.first() != Some(&b'#') {
            return text;
        }
        text = memchr::memchr(b'\n', text).map_or(&[], |end| &text[end + 1..]);
    }
}

/// JSON: a source that AWS writes, an envelope, or a template's records.
fn by_object(text: &[u8], whole: bool) -> Option<LogFormat> {
    by_source(text).or_else(|| by_keys(Form::Json, text, whole))
}

/// A source that AWS writes, or an envelope, by the object that `text` begins with.
fn by_source(text: &[u8]) -> Option<LogFormat> {
    if waf::is_record(text) {
        return LogFormat::preset("aws-waf");
    }
    if cloudfront::is_record(text) {
        return Some(LogFormat::of_source("cloudfront", Reading::CloudFrontJson));
    }
    envelope::kind(text).map(|kind| LogFormat::enveloped(kind, inside(text)))
}

/// Records that are looked at for an envelope, or a source that AWS writes.
const LOOKED_INTO: usize = 8;

/// The given format, as the records have it that `text` begins with. A format is that of the
/// stage, whatever carries its records to S3: where they stand in envelopes, it is theirs
/// inside. `None`: it is as it was given.
pub(crate) fn given(format: &LogFormat, text: &[u8]) -> Option<LogFormat> {
    if let Reading::Envelope(kind, None) = &format.reading {
        return Some(LogFormat::enveloped(*kind, inside(after_comments(text))));
    }
    if let Some(kind) = envelope_around(text) {
        return Some(LogFormat::enveloped(kind, Some(format.clone())));
    }
    let is_combined = matches!(format.reading, Reading::Combined(_));
    is_combined.then(|| combined_log(&sample_lines(text, false)))
}

/// The kind of envelope that one of the first records is.
fn envelope_around(mut text: &[u8]) -> Option<envelope::Envelope> {
    for _ in 0..LOOKED_INTO {
        text = after_comments(text);
        let kind = envelope::kind(text);
        if kind.is_some() {
            return kind;
        }
        text = &text[memchr::memchr(b'\n', text)?..];
    }
    None
}

/// The combined format, as these lines have it.
fn combined_log(lines: &[&[u8]]) -> LogFormat {
    let lines = lines.iter().map(|line| frame::after_separators(trimmed(line)));
    LogFormat::of_source("combined", Reading::Combined(Front::of(lines)))
}

/// The format of the records inside the envelopes that `text` begins with.
fn inside(mut text: &[u8]) -> Option<LogFormat> {
    let mut sample = Vec::new();
    for _ in 0..SAMPLE {
        text = frame::after_separators(text);
        let length = envelope::open(text, &mut |_, inner| {
            sample.extend_from_slice(inner);
            sample.push(b'\n');
        });
        match length {
            Some(length) => text = &text[length..],
            None => break,
        }
    }
    // Envelopes inside envelopes are not followed.
    format(&sample, true).filter(|inner| !matches!(inner.reading, Reading::Envelope(..)))
}

fn by_keys(form: Form, mut text: &[u8], whole: bool) -> Option<LogFormat> {
    for number in 0..SAMPLE {
        text = after_comments(text);
        // The first was looked at.
        if form == Form::Json
            && (1..LOOKED_INTO).contains(&number)
            && let Some(format) = by_source(text)
        {
            return Some(format);
        }
        let record_end = match form {
            Form::Json => json::object_end(text),
            _ => crate::xml::leaves(text, &mut |_, _| {}),
        };
        let line_end = memchr::memchr(b'\n', text).map(|end| end + 1);
        let end = record_end.or(line_end).or(whole.then_some(text.len()))?;
        if end == 0 {
            return None;
        }
        if let Ok((template, _)) = keyed::read(form, &text[..end], None) {
            let format = LogFormat::inferred(template);
            if let Reading::Template(compiled) = &format.reading
                && compiled.tells_requests()
            {
                return Some(format);
            }
        }
        text = &text[end..];
    }
    None
}

fn by_lines(text: &[u8], whole: bool) -> Option<LogFormat> {
    let lines = sample_lines(text, whole);
    if lines.iter().any(|line| alb::is_line(line)) {
        return LogFormat::preset("alb");
    }
    if lines.iter().any(|line| cloudfront::is_line(line)) {
        return LogFormat::preset("cloudfront");
    }
    let mut best: Option<(usize, LogFormat)> = None;
    let presets = PRESETS.iter().filter_map(|p| p.template.map(|t| (p.name, t)));
    let templates = presets.chain(VARIANTS).flat_map(|(name, text)| {
        let format = LogFormat::named(name, text).expect("known templates compile");
        let concrete = text.contains(RESOURCE).then(|| {
            let text = text.replace(RESOURCE, "$context.path");
            LogFormat::named("clf", &text).expect("known templates compile")
        });
        std::iter::once(format).chain(concrete)
    });
    for format in std::iter::once(combined_log(&lines)).chain(templates) {
        let read = score(&format, text, whole, &lines);
        if read > best.as_ref().map_or(0, |(most, _)| *most) {
            best = Some((read, format));
        }
    }
    best.map(|(_, format)| format)
}

const RESOURCE: &str = "$context.resourcePath";

fn sample_lines(text: &[u8], whole: bool) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').take(SAMPLE + 1).collect();
    // The last one may go on behind what is in view.
    if lines.len() > SAMPLE || !whole {
        lines.pop();
    }
    lines.retain(|line| !line.trim_ascii().is_empty() && line[0] != b'#');
    lines
}

/// How many sample records the format reads, each counting double where the path
/// is of the kind that the format says.
fn score(format: &LogFormat, text: &[u8], whole: bool, lines: &[&[u8]]) -> usize {
    let mut scratch = Vec::new();
    let compiled = match &format.reading {
        Reading::Template(compiled) => compiled,
        Reading::Combined(front) => {
            let read = |line: &&&[u8]| {
                combined::request(trimmed(line), *front, &mut scratch, Origin::default()).is_ok()
            };
            return 2 * lines.iter().filter(read).count();
        }
        _ => return 0,
    };
    let template = &compiled.template;
    if !matches!(template.form, Form::Csv | Form::Line) {
        return 0;
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut read = |record: &[u8], pieces: &mut Vec<Piece>| -> Result<bool, RejectReason> {
        template.cut(record, pieces)?;
        value::request(template, record, pieces, &mut scratch, Origin::default())?;
        Ok(template.captures.iter().zip(&*pieces).all(|(capture, piece)| match capture.slot {
            Slot::Route if &*capture.name == "routeKey" => has_method(piece.of(record)),
            Slot::Route => is_route(piece.of(record)),
            _ => true,
        }))
    };
    let mut total = 0;
    for line in lines {
        if let Ok(fits) = read(trimmed(line), &mut pieces) {
            total += 1 + usize::from(fits);
        }
    }
    if lines.len() <= 1
        && memchr::memchr(b'\n', text).is_none()
        && let Some(seam) = Seam::of(template)
    {
        let mut rest = text;
        let mut glued = 0;
        for _ in 0..SAMPLE {
            rest = frame::after_separators(rest);
            match glued::next(template, seam, rest, whole, &mut pieces) {
                Next::Record(length) => {
                    if let Ok(fits) = read(&rest[..length], &mut pieces) {
                        glued += 1 + usize::from(fits);
                    }
                    rest = &rest[length..];
                }
                _ => break,
            }
            if rest.is_empty() {
                break;
            }
        }
        total = total.max(glued);
    }
    total
}

fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.strip_suffix(b"\\n").unwrap_or(line)
}

/// Whether a route key is one of HTTP APIs, with its method, or a `$default`.
fn has_method(key: &[u8]) -> bool {
    key.contains(&b' ') || key == b"-" || key.starts_with(b"$")
}

/// Whether text may be a route template. Concrete paths have extensions, escapes
/// or parameters; a template names those in braces.
fn is_route(text: &[u8]) -> bool {
    if memchr::memchr(b'{', text).is_some() || text == b"-" || text.starts_with(b"$") {
        return true;
    }
    text.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'/' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(format(text.as_bytes(), true).as_ref().map(LogFormat::name), expected, "{text}");
    }

    #[test]
    fn formats_are_recognised() {
        check("", None);
        check("hello\nworld\n", None);
        check("#\n{\"ip\":\"192.0.2.1\",\"status\":\"200\"}", Some("json"));
        check("<request id=\"a\"><ip>192.0.2.1</ip><status>200</status></request>", Some("xml"));
        let clf = "192.0.2.1 - - [26/Jan/2019:19:45:25 +0000] \"GET /pets/{petId} HTTP/1.1\" 200 5";
        check(&format!("{clf} id1"), Some("clf"));
        check(&format!("{clf} \"-\" \"ua\""), Some("combined"));
        check(
            "192.0.2.1 - - [26/Jan/2019:19:45:25 +0000] \"GET GET /pets HTTP/1.1\" 200 5 id",
            Some("apigw-http-clf"),
        );
        check(
            "192.0.2.1 -  - [26/Jan/2019:19:45:25 +0000] \"GET /pets HTTP/1.1\" 200 5 id eid",
            Some("apigw-rest-clf"),
        );
        check(
            "192.0.2.1,-,-,26/Jan/2019:19:45:25 +0000,GET,/pets,HTTP/1.1,200,5,id,eid",
            Some("apigw-rest-csv"),
        );
    }

    #[test]
    fn a_few_bad_lines_in_front_hide_no_format() {
        let json = r#"{"ip":"192.0.2.1","status":"200","path":"/a"}"#;
        let waf = r#"{"timestamp":1576280412771,"webaclId":"a","httpRequest":{"clientIp":"192.0.2.1","uri":"/","httpMethod":"GET","requestId":"a"}}"#;
        let xml = r#"<request id="a"><ip>192.0.2.1</ip><status>200</status></request>"#;
        let clf = r#"192.0.2.1 - - [26/Jan/2019:19:45:25 +0000] "GET /a HTTP/1.1" 200 5 "-" "ua""#;
        let subscribed = r#"{"messageType":"DATA_MESSAGE","logGroup":"g","logEvents":[]}"#;
        let records = [
            (json, "json"),
            (waf, "aws-waf"),
            (xml, "xml"),
            (clf, "combined"),
            (subscribed, "cloudwatch"),
        ];
        for (record, name) in records {
            let cut = (&record[record.len() / 3..], &record[..record.len() / 2]);
            for bad in ["GARBAGE LINE", "<html>", "{}", "{", "[]", "\u{0}", cut.0, cut.1] {
                for count in [1, 3] {
                    let front = format!("{bad}\n").repeat(count);
                    check(&format!("{front}{}", format!("{record}\n").repeat(20)), Some(name));
                }
            }
        }
        // Records of another format do not count when there are fewer.
        check(&format!("{clf}\n{}", format!("{json}\n").repeat(5)), Some("json"));
        check(&format!("{json}\n{}", format!("{clf}\n").repeat(5)), Some("combined"));
        check(&format!("{json}\n{clf}\n"), Some("json"));
        check(&format!("\"200\"}}{json}{json}"), Some("json"));
    }

    #[test]
    fn concrete_paths_are_told_from_route_templates() {
        let line = |path: &str| {
            format!("192.0.2.1 - - [26/Jan/2019:19:45:25 +0000] \"GET {path} HTTP/1.1\" 200 5 id")
        };
        let fields = |path: &str| format(line(path).as_bytes(), true).expect("a format").fields();
        assert!(fields("/prod/.env").contains(crate::Field::Path));
        assert!(fields("/pets/{petId}").contains(crate::Field::Route));
    }
}
