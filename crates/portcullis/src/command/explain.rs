//! `portcullis explain`: one client or request, accounted for in full.

use portcullis_detection::{Answer, Question, Standing};
use portcullis_ingest::Untrusted;

use super::asked;
use super::judgement::Judge;
use super::{Page, Prepared, as_typed, inert, print, tell};
use crate::args::{Explain, Global, Shape};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{account, account_page, counted};
use crate::terminal::Terminal;

pub(super) fn run(
    arguments: &Explain,
    global: &Global,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let question = question(&arguments.question)?;
    let Judge { rules, .. } = Judge::load(&arguments.judgement, terminal)?;
    let prepared = Prepared::new(&arguments.logs, global, terminal)?;
    prepared.require_client()?;

    let (answer, tally) = prepared.reading().answer(&rules, &question);
    prepared.progress.finish();

    let page = match arguments.output {
        Shape::Human => Page::Shown,
        Shape::Json => Page::None,
    };
    let gaps = tell(&tally, page, terminal);
    if answer.request.is_none() && answer.account.is_none() {
        return Err(not_found(arguments, &question, &answer));
    }
    let secrets = arguments.logs.secrets();
    let mut out = Vec::new();
    match arguments.output {
        Shape::Human => {
            account_page::Page { out: &mut out, rules: &rules, secrets, terminal }
                .write(&answer)
                .expect("writing to memory does not fail");
        }
        Shape::Json => {
            account::write_document(&mut out, &answer, &rules, prepared.joined(), secrets);
            out.push(b'\n');
        }
    }
    print(&out)?;
    prepared.tell_joined(terminal);
    if page == Page::Shown
        && let Some(account) = &answer.account
        && account.standing != Standing::Quiet
    {
        terminal.next(format_args!(
            "portcullis review {} --source {} shows what it sent, who is like it, and the plan",
            as_typed(&arguments.logs, &arguments.judgement),
            account.source.addr()
        ));
    }
    if answer.account.is_none() {
        terminal.warn("the request has no client address, so there is no client to explain");
    }
    Ok(prepared.exit.or_worse(gaps))
}

fn question(text: &str) -> Result<Question, Failure> {
    let request = || Ok(Question::Request(Untrusted::new(text.as_bytes()).to_buf()));
    asked::source(text).unwrap_or_else(request)
}

fn not_found(arguments: &Explain, question: &Question, answer: &Answer) -> Failure {
    let asked = inert(&arguments.question);
    let searched = counted(answer.coverage.requests, "request", "requests");
    let detail = match question {
        Question::Source(_) => format!("none of {searched} came from it"),
        Question::Request(_) => format!("none of {searched} has that id"),
    };
    let failure = Failure::because(format!("explain `{asked}`"), detail);
    match question {
        Question::Source(_) => failure,
        Question::Request(_) => {
            failure.hint("it was taken for a request id, because it is no IPv4 or IPv6 address")
        }
    }
}
