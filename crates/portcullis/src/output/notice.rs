//! What people are told of a run, and how it reads in each channel.
//!
//! A message to a chat is markup: `<!channel>` calls everybody, and whoever can get a link
//! into an alarm gets it clicked. Nothing from a log is in these messages, but names of
//! objects and errors of servers are, and somebody chose those. So what could mean anything
//! to a chat or a mail program is written with look-alikes that mean nothing.

use std::fmt::Write as _;

use portcullis_ingest::is_unsafe_to_print;
use serde_json::json;

use crate::exit::Exit;
use crate::output::counted;
use crate::output::summary::Summary;

/// Most blocks that a message names.
const MOST_BLOCKS: usize = 10;

/// Most characters of one line: a message is read on a telephone.
const MOST_CHARACTERS: usize = 300;

/// Most lines of a message.
const MOST_LINES: usize = 40;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened, on one line; ASCII, at most 100 characters.
    pub subject: String,
    /// More of it.
    pub lines: Vec<String>,
}

impl Notice {
    /// What people want to know of a run: new blocks, brakes, gaps in the coverage, blocks
    /// that ended late, failures. `None` when there is nothing of that.
    pub fn of(run: &Summary) -> Option<Self> {
        let mut subjects = Vec::new();
        let mut lines = Vec::new();
        for target in &run.targets {
            let name = plain(&target.name);
            if !target.added.is_empty() {
                let blocks = counted(target.added.len() as u64, "new block", "new blocks");
                subjects.push(blocks.clone());
                lines.push(format!("{blocks} on {name}:"));
                for (network, why) in target.added.iter().take(MOST_BLOCKS) {
                    lines.push(plain(&format!("  {network}: {why}")));
                }
                if target.added.len() > MOST_BLOCKS {
                    lines.push(format!("  and {} more", target.added.len() - MOST_BLOCKS));
                }
            }
            if let Some(why) = &target.braked {
                subjects.push("a plan was refused".to_owned());
                lines.push(plain(&format!("the plan for {name} was not carried out: {why}")));
            }
            if target.overdue > 0 {
                subjects.push("blocks ended late".to_owned());
                let entries = counted(target.overdue, "entry", "entries");
                lines.push(format!("{entries} on {name} should have ended long ago"));
            }
        }
        match run.exit {
            Exit::Done | Exit::Braked => {}
            Exit::Partial => {
                subjects.push("partial".to_owned());
                if let Some(analysis) = &run.analysis {
                    let permille = analysis.coverage_permille();
                    lines.push(format!(
                        "{}.{} % of the records could be read, {} ended early, {} left",
                        permille / 10,
                        permille % 10,
                        counted(analysis.incomplete, "object", "objects"),
                        counted(analysis.left, "object", "objects"),
                    ));
                }
            }
            // The other run will tell.
            Exit::Locked => return None,
            _ => subjects.push("failed".to_owned()),
        }
        if subjects.is_empty() {
            return None;
        }
        lines.extend(run.problems.iter().map(|problem| plain(problem)));
        lines.truncate(MOST_LINES);
        subjects.sort();
        subjects.dedup();
        let mut subject = format!("Portcullis: {}", subjects.join(", "));
        subject.truncate(100);
        Some(Self { subject, lines })
    }

    /// As chats take it that understand Slack's webhooks.
    pub fn slack(&self) -> Vec<u8> {
        let text = self.text();
        let document = json!({
            "text": text,
            "mrkdwn": false,
            "parse": "none",
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
        });
        document.to_string().into_bytes()
    }

    /// As mail and SNS take it.
    pub fn text(&self) -> String {
        let mut text = self.subject.clone();
        for line in &self.lines {
            let _ = write!(text, "\n{line}");
        }
        text
    }
}

/// One line without anything that acts in a chat, in mail, or on a terminal.
fn plain(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() && !is_unsafe_to_print(c);
    // `https://` becomes a link wherever it stands, `//` alone nowhere.
    let text = text.replace("://", "\u{a789}//");
    let seen = text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' });
    seen.take(MOST_CHARACTERS).map(look_alike).collect()
}

/// What means something to a chat, as what looks like it.
const fn look_alike(c: char) -> char {
    match c {
        '<' => '\u{2039}',
        '>' => '\u{203a}',
        '&' => '\u{ff06}',
        '@' => '\u{ff20}',
        '#' => '\u{ff03}',
        '*' => '\u{2217}',
        '_' => '\u{ff3f}',
        '~' => '\u{223c}',
        '`' => '\u{2032}',
        '[' => '\u{ff3b}',
        ']' => '\u{ff3d}',
        '|' => '\u{2223}',
        '!' => '\u{ff01}',
        '\\' => '\u{2216}',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use portcullis_ingest::Timestamp;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::output::summary::Dealt;
    use portcullis_setup::Mode;

    fn run() -> Summary {
        Summary::begin(Timestamp::from_epoch_ms(1_000_000).expect("a time"))
    }

    #[test]
    fn nothing_is_told_of_a_run_that_changed_nothing() {
        assert_eq!(Notice::of(&run()), None);
        assert_eq!(Notice::of(&Summary { exit: Exit::Locked, ..run() }), None);
    }

    #[test]
    fn blocks_brakes_gaps_and_failures_are_told() {
        let mut summary = Summary { exit: Exit::Failed, ..run() };
        let mut target = Dealt::new("prod", Mode::Enforce);
        let block = |n| (format!("192.0.2.{n}/32"), "sqli/union-select".to_owned());
        target.added = (0..12).map(block).collect();
        target.braked = Some("adds-per-run".to_owned());
        target.overdue = 1;
        summary.targets.push(target);
        summary.problems.push("failed to list".to_owned());
        let notice = Notice::of(&summary).expect("much to tell");
        assert_eq!(
            notice.subject,
            "Portcullis: 12 new blocks, a plan was refused, blocks ended late, failed"
        );
        let text = notice.text();
        for part in ["192.0.2.9/32", "and 2 more", "adds-per-run", "1 entry on prod", "to list"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("192.0.2.10/32"), "{text}");
    }

    proptest! {
        #[test]
        fn nothing_in_a_message_acts(hostile in "(\\PC|[<!@#*_~`\\[\\]|&:/\\\\\u{202e}\u{200b}\n\u{1b}]|<!channel>|https://example.com){0,40}") {
            let mut summary = Summary { exit: Exit::Failed, ..run() };
            let mut target = Dealt::new(&hostile, Mode::Enforce);
            target.added = vec![(hostile.clone(), hostile.clone())];
            target.braked = Some(hostile.clone());
            summary.targets.push(target);
            summary.problems.push(hostile);
            let notice = Notice::of(&summary).expect("there is a block");
            let slack: Value = serde_json::from_slice(&notice.slack()).expect("JSON");
            prop_assert_eq!(slack["text"].as_str(), Some(&*notice.text()));
            for line in &notice.lines {
                let acts = |c: char| "<>&@#*_~`[]|!\\".contains(c) || c.is_control() || is_unsafe_to_print(c);
                prop_assert!(!line.contains(acts), "{line:?}");
                prop_assert!(!line.contains("://"), "{line:?}");
            }
            prop_assert!(notice.subject.is_ascii() && notice.subject.len() <= 100);
        }
    }
}
