//! Findings over many runs: each object is read once, and all of the lookback decides.
//!
//! What was gathered is saved before anything is decided on it, and only if nobody else
//! saved meanwhile. So a run that is killed has either counted its objects or not, and of
//! two runs at once one gives way; neither misses an object or counts it twice.

use portcullis_aws::{Connection, Document, SystemClock};
use portcullis_detection::{Findings, RuleSet, Scan};
use portcullis_ingest::Timestamp;
use portcullis_remediation::{Clock as _, SaveError, StoreError, Version};

use super::{Prepared, inert};
use crate::args::{Access, Global, Keeping, Logs, Reading};
use crate::digest::sha256;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::history::{Counted, History};
use crate::location;
use crate::output::counted;
use crate::pipeline::{self, Purpose, Tally};
use crate::progress::{Progress, human_count};
use crate::span::Span;
use crate::terminal::Terminal;

/// Findings, what reading came to, and what is worse than done about the locations.
pub(super) struct Found {
    pub(super) findings: Findings,
    pub(super) tally: Tally,
    pub(super) prepared: Prepared,
}

/// Looks for offenders: in the locations alone, or in all of the lookback if what was
/// found is kept.
pub(super) fn findings(
    rules: &RuleSet,
    purpose: Purpose<'_>,
    (logs, keeping): (&Logs, &Keeping),
    global: &Global,
    terminal: &Terminal,
) -> Result<Found, Failure> {
    let Some(place) = &keeping.state else {
        let prepared = Prepared::new(logs, global, terminal)?;
        prepared.require_client()?;
        let (findings, tally) = prepared.reading().findings(rules, purpose);
        prepared.progress.finish();
        return Ok(Found { findings, tally, prepared });
    };
    let mut kept = Kept::load(place, &logs.access, &settings(rules, logs), terminal)?;
    let begin = kept.look_back(keeping.lookback);
    let span = Span { from: Some(begin), to: None };
    let mut prepared = Prepared::written_in(span, logs, global, terminal)?;
    prepared.require_client()?;
    let taken = kept.take_in(rules, &mut prepared, begin, global, terminal)?;
    let (findings, tally) = taken.decided(purpose);
    Ok(Found { findings, tally, prepared })
}

/// What is kept, and where.
pub(super) struct Kept<'p> {
    place: &'p str,
    runtime: tokio::runtime::Runtime,
    document: Document,
    version: Option<Version>,
    /// Of the document as it was read or saved last; empty when there is none.
    stored_sha256: String,
    history: History,
}

/// What one reading came to, and all that is kept.
pub(super) struct Taken<'rules> {
    /// Everything that counts.
    whole: Scan<'rules>,
    /// What there was to read of objects that ended early.
    provisional: Option<Scan<'rules>>,
    pub(super) tally: Tally,
    /// Objects that were read, to their end or not.
    pub(super) read: u64,
    /// Objects that had been read before.
    pub(super) known: u64,
    /// Objects that were not begun, because reading was stopped.
    pub(super) left: u64,
    /// When the oldest of the objects to be read was written.
    pub(super) oldest: Option<Timestamp>,
    /// Whether each object was read to its end, in input order, of those that were begun.
    pub(super) complete: Vec<bool>,
}

impl Taken<'_> {
    /// Decides about every source.
    pub(super) fn decided(self, purpose: Purpose<'_>) -> (Findings, Tally) {
        let Self { mut whole, mut provisional, tally, .. } = self;
        if purpose == Purpose::Show
            && let Some(shown) = provisional.take()
        {
            whole.merge(shown);
        }
        (pipeline::decided(whole, provisional, purpose), tally)
    }
}

impl<'p> Kept<'p> {
    pub(super) fn load(
        place: &'p str,
        access: &Access,
        settings: &str,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        let action = || format!("read what is kept in `{}`", inert(place));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(action(), &error))?;
        let connection = runtime.block_on(Connection::open(&access.options()));
        let document = Document::open(place, &connection);
        let loaded = runtime.block_on(document.load());
        let loaded = loaded.map_err(|StoreError(error)| Failure::because(action(), error))?;
        let (stored, version) = loaded.map_or((Vec::new(), None), |(text, v)| (text, Some(v)));
        let fresh = || History::new(settings.to_owned());
        let history = match &version {
            None => fresh(),
            Some(_) => History::from_bytes(&stored).map_err(|error| {
                let failure = Failure::new(action(), &error);
                if History::is_ours(&stored) {
                    failure.hint(
                        "remove it to begin anew: the objects of --lookback are then read again",
                    )
                } else {
                    failure.hint("name another place, or one where nothing is yet")
                }
            })?,
        };
        let history = if history.is_of(settings) {
            history
        } else {
            terminal
                .note(format_args!("rules or settings changed: all of the lookback is read again"));
            fresh()
        };
        let stored_sha256 = version.as_ref().map_or(String::new(), |_| sha256(&stored));
        Ok(Self { place, runtime, document, version, stored_sha256, history })
    }

    /// Drops what was written before the lookback, and gives when that begins.
    pub(super) fn look_back(&mut self, lookback: i64) -> Timestamp {
        let begin = History::begin(SystemClock.now(), lookback);
        self.history.forget_before(begin);
        begin
    }

    /// Reads what of the inputs is new, and saves it.
    pub(super) fn take_in<'rules>(
        &mut self,
        rules: &'rules RuleSet,
        prepared: &mut Prepared,
        begin: Timestamp,
        global: &Global,
        terminal: &Terminal,
    ) -> Result<Taken<'rules>, Failure> {
        let work = self.history.work(&prepared.inputs, begin);
        let (places, hours): (Vec<usize>, Vec<i64>) = work.read.iter().copied().unzip();
        prepared.inputs = location::chosen(&prepared.inputs, &places);
        prepared.progress = Progress::new(&prepared.inputs, !global.no_progress && !global.quiet);
        terminal.note(format_args!(
            "{} to read, {} read before{}",
            counted(prepared.inputs.len() as u64, "object", "objects"),
            human_count(work.known),
            if work.anew.is_empty() {
                String::new()
            } else {
                let hours = counted(work.anew.len() as u64, "hour", "hours");
                format!("; {hours} anew, because objects were replaced")
            }
        ));
        if work.lost > 0 {
            terminal.warn(format_args!(
                "{} read before can no longer be read, and no longer count: their hour had to be \
                 read anew",
                counted(work.lost, "object", "objects"),
            ));
        }
        let (gathered, tally) =
            prepared.reading().gathered(rules, &hours, self.history.identities());
        prepared.progress.finish();
        let action = || format!("keep what was found in `{}`", inert(self.place));
        for (hour, scan) in gathered.hours {
            let read = prepared.inputs.iter().zip(&hours).zip(&gathered.complete);
            let objects = read
                .enumerate()
                .filter(|(_, ((_, of), complete))| **of == hour && **complete)
                .map(|(number, ((input, _), _))| Counted {
                    input,
                    identities: gathered.identities.get(&number).map_or(&[], |of| of),
                    has_twins: gathered.with_twins.contains(&number),
                });
            self.history
                .keep(rules, hour, objects, scan)
                .map_err(|error| Failure::new(action(), &error))?;
        }
        let mut whole = self
            .history
            .scan(rules, prepared.reading().memory_of_clients())
            .map_err(|error| Failure::new(action(), &error))?;
        self.save()?;
        whole.merge(gathered.gaps);
        let read = gathered.complete.len();
        Ok(Taken {
            whole,
            provisional: gathered.provisional,
            tally,
            read: read as u64,
            known: work.known,
            left: (prepared.inputs.len() - read) as u64,
            oldest: prepared.inputs.iter().filter_map(|input| input.written).min(),
            complete: gathered.complete,
        })
    }

    /// Saves what changed, unless somebody else saved meanwhile.
    fn save(&mut self) -> Result<(), Failure> {
        let bytes = self.history.to_bytes();
        let digest = sha256(&bytes);
        if digest == self.stored_sha256 {
            return Ok(());
        }
        let saved = self.runtime.block_on(self.document.save(bytes, self.version.as_ref()));
        let failed = |error: String| {
            Failure::because(format!("keep what was found in `{}`", inert(self.place)), error)
        };
        match saved {
            Ok(version) => {
                (self.version, self.stored_sha256) = (Some(version), digest);
                Ok(())
            }
            Err(SaveError::Conflict) => {
                Err(failed("another run saved it meanwhile; nothing was decided".to_owned())
                    .hint("run again: what the other run read is not read twice")
                    .exit_with(Exit::Locked))
            }
            Err(SaveError::Refused(error)) => Err(failed(error)),
            Err(SaveError::Unknown(error)) => Err(failed(error)
                .hint("it may be saved or not; either way the next run counts each object once")),
        }
    }
}

/// Tells what was kept with these rules and settings from what was not.
pub(super) fn settings(rules: &RuleSet, logs: &Logs) -> String {
    let Logs { locations, reading, .. } = logs;
    let Reading { format, max_object_bytes, trusted_proxies, keep_duplicates, .. } = reading;
    let rules = rules.digest();
    sha256(format!(
        "{rules} {format:?} {max_object_bytes:?} {trusted_proxies:?} {keep_duplicates} {locations:?}"
    ))
}
