//! Reads one large object on several threads.
//!
//! One large file would otherwise leave all cores idle but one. Where lines are records, and
//! each says all about itself, a text can be cut at line feeds, and parts of it be read in any
//! order. A part begins with the first record that begins behind a multiple of
//! [`ReadOptions::part_bytes`], whoever reads it, so that what is counted by part is the same
//! on one thread and on many. The text of other formats is one part.
//!
//! The text is unpacked on a thread of its own and cut on the caller's. Parts pass through a
//! short queue, so memory stays bounded; one in which no line ends for longer than a record
//! may be is read by the caller, as a stream, with everything behind it.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ahead::Ahead;
use crate::format::{LogFormat, Reading};
use crate::frame::{Out, Reader};
use crate::object::{Incomplete, ObjectReport, ReadOptions, Sink, recognise, records};
use crate::tally::Tally;
use crate::template::Form;
use crate::window::{Slice, Window};

/// Parts that wait for a thread.
const WAITING: usize = 2;

/// A part of an object, to be read once.
pub struct Part<'p> {
    number: usize,
    text: Text<'p>,
    shared: &'p Shared<'p>,
}

enum Text<'p> {
    Slice(Slice),
    /// All that follows.
    Rest(Window<'p>),
}

/// What all parts need to know.
struct Shared<'p> {
    object: &'p str,
    format: Option<&'p LogFormat>,
    options: &'p ReadOptions,
    is_cut: bool,
    report: Mutex<ObjectReport>,
    /// Buffers that are not in use.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// Reads one object as [`crate::read_object`] does, in parts, on so many threads. Each thread
/// begins with what `begin` gives, and gives each of its parts to `read`. Gives what became of
/// that, in no order; parts have numbers. What is read is the same on however many threads.
pub fn read_object_in_parts<W: Send>(
    object: &str,
    input: impl Read + Send,
    format: Option<&LogFormat>,
    options: &ReadOptions,
    threads: usize,
    begin: impl Fn() -> W + Sync,
    read: impl Fn(&mut W, Part<'_>) + Sync,
) -> (ObjectReport, Vec<W>) {
    std::thread::scope(|unpacking| {
        let text = Ahead::start(unpacking, input)
            .map(|(text, compressed)| (Box::new(text) as Box<dyn Read>, compressed));
        let mut window = Window::new(text, options);
        let mut detected = None;
        let (format, report) = recognise(&mut window, format, &mut detected);
        let is_cut = threads > 1 && format.is_some_and(|format| is_cut(format, window.text()));
        let (report, spare) = (Mutex::new(report), Mutex::default());
        let shared = Shared { object, format, options, is_cut, report, spare };
        let (sender, parts) = sync_channel(WAITING);
        // A thread that panics gives its share of the queue back; with the last, nobody waits
        // for room in it.
        let parts = Arc::new(Mutex::new(parts));
        let worker = |parts: Arc<Mutex<Receiver<(usize, Slice)>>>| {
            let mut done = begin();
            while let Some((number, slice)) = next(&parts) {
                read(&mut done, Part { number, text: Text::Slice(slice), shared: &shared });
            }
            done
        };
        let done = std::thread::scope(|scope| {
            let workers = if is_cut { threads } else { 0 };
            let workers: Vec<_> = (0..workers)
                .map(|_| {
                    let parts = Arc::clone(&parts);
                    scope.spawn(|| worker(parts))
                })
                .collect();
            drop(parts);
            let rest = if is_cut { cut(window, &shared, &sender) } else { Some((0, window)) };
            drop(sender);
            let mut done = Vec::new();
            if let Some((number, window)) = rest {
                let mut mine = begin();
                read(&mut mine, Part { number, text: Text::Rest(window), shared: &shared });
                done.push(mine);
            }
            for worker in workers {
                match worker.join() {
                    Ok(theirs) => done.push(theirs),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        (shared.report.into_inner().unwrap_or_else(PoisonError::into_inner), done)
    })
}

/// Whether a text can be cut at line feeds: each of its lines is a record, and says all about
/// itself. Headers of CloudFront, say, tell of the lines behind them.
fn is_cut(format: &LogFormat, sample: &[u8]) -> bool {
    match &format.reading {
        Reading::Combined(_) | Reading::Alb => true,
        Reading::Template(compiled) => {
            matches!(compiled.template.form, Form::Csv | Form::Line) && Reader::finds_lines(sample)
        }
        _ => false,
    }
}

/// Sends the parts of a text to whoever reads them. Gives the number of the first that is to be
/// read as a stream, with everything behind it, if there is one.
fn cut<'w>(
    mut window: Window<'w>,
    shared: &Shared<'_>,
    parts: &SyncSender<(usize, Slice)>,
) -> Option<(usize, Window<'w>)> {
    let options = shared.options;
    let part_bytes = options.part_bytes.max(1) as u64;
    for number in 0.. {
        let next = (part_bytes - window.offset % part_bytes) as usize;
        let end = loop {
            let text = window.text();
            let line_end = text.get(next - 1..).and_then(|rest| memchr::memchr(b'\n', rest));
            if let Some(found) = line_end {
                break next + found;
            }
            if window.whole() {
                break text.len();
            }
            if text.len() > next + options.record_bytes {
                return Some((number, window));
            }
            let wanted = text.len().max(next) + options.window_bytes;
            window.fill(wanted);
        };
        let spare = shared.spare().pop().unwrap_or_default();
        let mut slice = window.take(end, spare);
        let is_last = window.whole() && window.text().is_empty();
        if is_last {
            slice.incomplete = shared.end(&window);
        }
        if parts.send((number, slice)).is_err() || is_last {
            break;
        }
    }
    None
}

fn next(parts: &Mutex<Receiver<(usize, Slice)>>) -> Option<(usize, Slice)> {
    parts.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl Shared<'_> {
    fn report(&self) -> MutexGuard<'_, ObjectReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where the text ended, and why.
    fn end(&self, window: &Window<'_>) -> Option<Incomplete> {
        let mut report = self.report();
        report.text_bytes = window.offset + window.text().len() as u64;
        report.incomplete.clone_from(&window.incomplete);
        report.incomplete.clone()
    }
}

impl Part<'_> {
    /// Its place among the parts, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Reads the records.
    pub fn read(self, sink: &mut impl Sink) {
        let Self { text, shared, .. } = self;
        let mut tally = Tally::new(shared.object, shared.options, &shared.report());
        let mut read = |window: &mut Window<'_>| {
            let mut out = Out { sink: &mut *sink, tally: &mut tally };
            let mut reader = Reader::new(shared.format);
            // A part need not show it, as the last line may have no line feed.
            reader.lines = shared.is_cut.then_some(true);
            records(shared.object, window, &mut reader, shared.options, &mut out);
        };
        match text {
            Text::Slice(slice) => {
                read(&mut slice.window(shared.options));
                shared.spare().push(slice.into_buffer());
            }
            Text::Rest(mut window) => {
                read(&mut window);
                shared.end(&window);
            }
        }
        tally.tell(&mut shared.report());
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::prelude::*;

    use super::*;
    use crate::{Reject, Request, read_object};

    /// Everything that a sink is told, in its order.
    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    struct Told(Vec<String>);

    impl Sink for Told {
        fn request(&mut self, request: &Request<'_>) {
            self.0.push(format!("{request:?}"));
        }
        fn reject(&mut self, reject: &Reject<'_>) {
            self.0.push(format!("{reject:?}"));
        }
    }

    fn at_once(text: &[u8], format: &LogFormat, options: &ReadOptions) -> (ObjectReport, Told) {
        let mut told = Told::default();
        (read_object("object", text, Some(format), options, &mut told), told)
    }

    /// Reads in parts; gives how many there were, too.
    fn in_parts(
        text: &[u8],
        format: &LogFormat,
        options: &ReadOptions,
        threads: usize,
    ) -> (ObjectReport, Told, usize) {
        let read = |parts: &mut Vec<(usize, Told)>, part: Part<'_>| {
            let (number, mut told) = (part.number(), Told::default());
            part.read(&mut told);
            parts.push((number, told));
        };
        let (report, done) =
            read_object_in_parts("object", text, Some(format), options, threads, Vec::new, read);
        let mut parts: Vec<(usize, Told)> = done.into_iter().flatten().collect();
        parts.sort_by_key(|(number, _)| *number);
        let told = parts.iter().flat_map(|(_, told)| told.0.clone()).collect();
        (report, Told(told), parts.len())
    }

    fn combined(number: usize) -> String {
        format!(
            "192.0.2.{} - - [26/Jan/2026:10:11:07 +0000] \"GET /{number} HTTP/1.1\" 200 5 \"-\" \"a\"",
            number % 250
        )
    }

    #[test]
    fn lines_are_cut_and_what_spans_them_is_not() {
        let combined_log = LogFormat::preset("combined").expect("a preset");
        let json = LogFormat::parse(r#"{"ip":"$context.identity.sourceIp"}"#).expect("a template");
        let options = ReadOptions { part_bytes: 1_000, ..ReadOptions::default() };
        let lines: String = (0..200).map(|number| combined(number) + "\n").collect();
        let (report, told, parts) = in_parts(lines.as_bytes(), &combined_log, &options, 3);
        assert_eq!((report.requests, told.0.len()), (200, 200));
        assert!(parts > 10, "{parts}");
        let records = "{\"ip\":\"192.0.2.1\"}\n".repeat(200);
        assert_eq!(in_parts(records.as_bytes(), &json, &options, 3).2, 1);
        assert_eq!(in_parts(lines.as_bytes(), &combined_log, &options, 1).2, 1);
    }

    #[test]
    fn a_line_that_never_ends_is_read_as_a_stream() {
        let format = LogFormat::preset("combined").expect("a preset");
        let options =
            ReadOptions { part_bytes: 1_000, record_bytes: 5_000, ..ReadOptions::default() };
        let text = [combined(1), "x".repeat(2_000_000), combined(2), combined(3)].join("\n");
        let (report, told) = at_once(text.as_bytes(), &format, &options);
        assert_eq!((report.requests, report.rejected()), (3, 1));
        let (in_parts_report, in_parts_told, _) = in_parts(text.as_bytes(), &format, &options, 2);
        assert_eq!((in_parts_report, in_parts_told), (report, told));
    }

    #[test]
    fn of_each_part_the_first_rejects_are_searched() {
        let format = LogFormat::preset("combined").expect("a preset");
        let options = ReadOptions { part_bytes: 8_000, ..ReadOptions::default() };
        let text = [combined(1).as_str(), &"no\n".repeat(10_000)].join("\n");
        let (report, told) = at_once(text.as_bytes(), &format, &options);
        let (in_parts_report, in_parts_told, parts) =
            in_parts(text.as_bytes(), &format, &options, 3);
        let searched = told.0.iter().filter(|told| told.contains("is_searched: true")).count();
        assert_eq!((parts, searched), (4, 4 * 256));
        assert_eq!((in_parts_report, in_parts_told), (report, told));
    }

    #[test]
    fn a_thread_that_panics_stops_nobody_for_good() {
        let format = LogFormat::preset("combined").expect("a preset");
        let options = ReadOptions { part_bytes: 1_000, ..ReadOptions::default() };
        let text: String = (0..2_000).map(|number| combined(number) + "\n").collect();
        let read = || {
            let read = |(): &mut (), part: Part<'_>| assert!(part.number() < 3, "as wanted");
            read_object_in_parts("o", text.as_bytes(), Some(&format), &options, 2, || (), read);
        };
        assert!(catch_unwind(AssertUnwindSafe(read)).is_err());
    }

    proptest! {
        #[test]
        fn parts_give_what_the_whole_gives(
            lines in prop::collection::vec((0..8_usize, 0..900_usize), 0..120),
            ends_in_line in any::<bool>(),
            part_bytes in 1..3_000_usize,
            window_bytes in 16..700_usize,
            object_bytes in prop_oneof![Just(u64::MAX), 0..20_000_u64],
            threads in 2..5_usize,
            by_template in any::<bool>(),
        ) {
            let template = "$context.identity.sourceIp - - [$context.requestTime] \
                \"$context.httpMethod $context.path $context.protocol\" $context.status";
            let format = if by_template {
                LogFormat::parse(template).expect("a template")
            } else {
                LogFormat::preset("combined").expect("a preset")
            };
            let line = |(number, (kind, length)): (usize, &(usize, usize))| {
                let line = combined(number);
                match kind {
                    0 => "x".repeat(*length),
                    1 => String::new(),
                    2 => format!("  {line}\\n\r"),
                    3 => line.replace("/1.1\" 200 5 \"-\" \"a\"", "/1.1\" 200"),
                    4 => line.replace("\"a\"", &format!("\"{}\"", "b".repeat(*length))),
                    5 => format!("# {line}"),
                    _ => line,
                }
            };
            let mut text = lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\n");
            if ends_in_line {
                text.push('\n');
            }
            let options =
                ReadOptions { object_bytes, window_bytes, part_bytes, ..ReadOptions::default() };
            let (report, told) = at_once(text.as_bytes(), &format, &options);
            let (in_parts_report, in_parts_told, _) =
                in_parts(text.as_bytes(), &format, &options, threads);
            prop_assert_eq!(in_parts_report, report);
            prop_assert_eq!(in_parts_told, told);
        }
    }
}
