//! `portcullis review`: decide about offenders on a page of this machine, or read about one
//! on the terminal.
//!
//! The page's state lives here until it is saved: two files, the decisions and the plan
//! that follows from them. Somebody else may have saved decisions to the same file since it
//! was read, so that saving looks first, under a lock, and gives way.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use portcullis_detection::Question;
use portcullis_ingest::Timestamp;
use portcullis_remediation::{Ruling, Rulings};
use portcullis_review::{Planner, Review, Subject};

use super::asked;
use super::judgement::Judge;
use super::lists::Lists;
use super::plan::{Base, read_decisions, time_of};
use super::written::write_whole;
use super::{Page, Prepared, as_typed, inert, print, tell};
use crate::args;
use crate::args::Global;
use crate::config::Configuration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{account_page, counted, review_page};
use crate::pipeline::Surveyed;
use crate::server::{Save, Server};
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &args::Review,
    configuration: &Configuration,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let inputs = &arguments.plan;
    let at = inputs.at.as_deref().map(|at| time_of(Some(at))).transpose()?;
    let Judge { rules, known } = Judge::load(&inputs.judgement, terminal)?;
    let proxies = &arguments.logs.reading.trusted_proxies;
    let lists = Lists::read(Some(&inputs.protected), proxies, configuration)?.knowing(&known);
    let access = &arguments.logs.access;
    let current = inputs.current.as_deref();
    let base = Base::of(&arguments.target, access, current, configuration, terminal)?;
    let by = arguments.by.as_deref().unwrap_or("");
    Ruling::new(None)
        .with_words("", by)
        .map_err(|error| Failure::new("read --by", &error).exit_with(Exit::Usage))?;
    let question = arguments.source.as_deref().map(question).transpose()?;
    let (kept, rulings) = Kept::open(&arguments.decisions, &arguments.out, terminal)?;
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    prepared.require_client()?;

    let Surveyed { findings, overview, answer, tally } =
        prepared.reading().survey(&rules, question.as_ref());
    prepared.progress.finish();
    let gaps = tell(&tally, Page::Shown, terminal);
    prepared.tell_joined(terminal);

    let shown = |path: &Path| inert(&path.to_string_lossy());
    let subject = Subject {
        locations: arguments.logs.locations.clone(),
        findings,
        overview,
        target: base.target().map(str::to_owned),
        by: by.to_owned(),
        decisions_file: shown(&arguments.decisions),
        plan_file: shown(&arguments.out),
    };
    let review = Review::new(subject, rulings, planner(base, lists, configuration, at)?);
    if let Some(answer) = answer {
        if answer.account.is_none() {
            let asked = inert(arguments.source.as_deref().unwrap_or(""));
            let searched = counted(answer.coverage.requests, "request", "requests");
            let detail = format!("none of {searched} came from it");
            return Err(Failure::because(format!("review `{asked}`"), detail));
        }
        let secrets = arguments.logs.secrets();
        let mut out = Vec::new();
        let memory = "writing to memory does not fail";
        account_page::Page { out: &mut out, rules: &rules, secrets, terminal }
            .write(&answer)
            .expect(memory);
        review_page::write(&mut out, &answer, &review, terminal).expect(memory);
        print(&out)?;
        terminal.next(format_args!(
            "portcullis review {} decides about it; nothing has been changed",
            as_typed(&arguments.logs, &arguments.plan.judgement)
        ));
        return Ok(prepared.exit.or_worse(gaps));
    }
    serve(arguments, review, kept, terminal)?;
    Ok(prepared.exit.or_worse(gaps))
}

fn question(text: &str) -> Result<Question, Failure> {
    asked::source(text).unwrap_or_else(|| {
        let detail = format!("`{}` is no IPv4 or IPv6 address", inert(text));
        Err(Failure::because("read --source", detail).exit_with(Exit::Usage))
    })
}

/// Makes plans of what the review decides. Each is of the time that it is made at, because
/// a plan is stale after an hour and a review may take longer.
fn planner(
    base: Base,
    lists: Lists,
    configuration: &Configuration,
    at: Option<Timestamp>,
) -> Result<Planner, Failure> {
    let configuration = configuration.clone();
    let begun = at.map_or_else(|| time_of(None), Ok)?;
    Ok(Box::new(move |findings, rulings| {
        let now = at.or_else(|| time_of(None).ok()).unwrap_or(begun);
        base.plan(findings, &lists, &configuration, rulings, now)
    }))
}

fn serve(
    arguments: &args::Review,
    review: Review,
    kept: Kept,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let action = || format!("serve the review at port {} of this machine", arguments.port);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(action(), &error))?;
    let terminal = *terminal;
    let save: Save = Box::new(move |review| {
        kept.save(review)?;
        terminal.note(format_args!(
            "saved {} to `{}` and the plan to `{}`",
            counted(review.rulings().iter().count() as u64, "decision", "decisions"),
            inert(&kept.decisions.to_string_lossy()),
            inert(&kept.plan.to_string_lossy()),
        ));
        if let (Some(target), true) = (review.target(), review.plan().has_changes()) {
            terminal.next(format_args!(
                "portcullis apply {} --target {target} --expect-hash {}",
                inert(&kept.plan.to_string_lossy()),
                review.plan().sha256()
            ));
        }
        Ok(())
    });
    let served = runtime.block_on(async {
        let server = Server::open(arguments.port, review, save).await?;
        let mut out = io::stdout().lock();
        // Whoever started this may have closed stdout; then there is nobody to open it.
        writeln!(out, "{}", server.address()).and_then(|()| out.flush())?;
        drop(out);
        terminal.next("open the address in a browser; Ctrl-C ends the review");
        server
            .serve(|unsaved| async move {
                interrupted().await;
                let number = unsaved();
                if number > 0 {
                    terminal.warn(format_args!(
                        "{} not saved; Ctrl-C once more ends the review without {}",
                        counted(number as u64, "decision is", "decisions are"),
                        if number == 1 { "it" } else { "them" },
                    ));
                    interrupted().await;
                }
            })
            .await
    });
    served.map_err(|error| Failure::new(action(), &error))
}

/// Waits for Ctrl-C. Where the system cannot tell, it ends the program by itself.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The two files of a review.
struct Kept {
    decisions: PathBuf,
    plan: PathBuf,
    /// The decisions file as it was read or written last; `None` when there was none.
    known: Mutex<Option<String>>,
}

impl Kept {
    /// Reads the decisions that are there.
    fn open(
        decisions: &Path,
        plan: &Path,
        terminal: &Terminal,
    ) -> Result<(Self, Rulings), Failure> {
        let known = read_if_there(decisions)?;
        let mut rulings = Rulings::default();
        if known.is_some() {
            rulings = read_decisions(decisions)?;
            terminal.note(format_args!(
                "going on from {} in `{}`",
                counted(rulings.iter().count() as u64, "decision", "decisions"),
                inert(&decisions.to_string_lossy())
            ));
        }
        let kept = Self {
            decisions: decisions.to_owned(),
            plan: plan.to_owned(),
            known: Mutex::new(known),
        };
        Ok((kept, rulings))
    }

    /// Writes both files, unless somebody else wrote the decisions meanwhile.
    fn save(&self, review: &mut Review) -> Result<(), Failure> {
        let name = inert(&self.decisions.to_string_lossy());
        let action = || format!("save the decisions to `{name}`");
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = match self.decisions.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // Two reviews that save at once look and write one after the other. The lock goes
        // with the handle, whatever becomes of the program.
        let lock = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
        let _lock = lock.map_err(|error| Failure::new(action(), &error))?;
        if read_if_there(&self.decisions)? != *known {
            return Err(Failure::because(
                action(),
                "somebody else has changed it since it was read",
            )
            .hint("save under another name: start the review again with --decisions NAME"));
        }
        review.renew();
        let text = review.rulings().to_json();
        write_whole(&self.decisions, text.as_bytes(), "the decisions")?;
        *known = Some(text);
        write_whole(&self.plan, review.plan().to_json().as_bytes(), "the plan")?;
        review.saved();
        Ok(())
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let path = inert(&path.to_string_lossy());
            Err(Failure::new(format!("read the decisions in `{path}`"), &error))
        }
    }
}
