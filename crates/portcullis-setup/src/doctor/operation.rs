//! Whether the program does its part: who it is, whether its clock is right, whether it may
//! act, and whether it has run.

use portcullis_ingest::Timestamp;

use super::delivery::known;
use super::facts::{Answer, Caller, Expected, Facts, LedgerFacts, Runs};
use super::{Check, Verdict};
use crate::answers::Mode;

const MINUTE_MS: i64 = 60_000;

/// Most by which the clock may differ from that of S3. Blocks end by this clock, and
/// requests are dated by another.
pub const MOST_SKEW_MS: i64 = 5 * MINUTE_MS;

/// Longest time since a good run or a good expiry. A guess: several runs of any schedule that
/// is worth having.
const LONGEST_WITHOUT_RUN_MS: i64 = 60 * MINUTE_MS;

/// Longest time that an entry may stay past its end. A guess: three runs of the usual
/// schedule were missed.
const LONGEST_OVERDUE_MS: i64 = 15 * MINUTE_MS;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let expected = &facts.expected;
    let mut checks = Vec::new();
    match known("caller", &facts.caller, "") {
        Ok(caller) => checks.extend([self::caller(caller, expected), permissions(caller)]),
        Err(check) => checks.push(check),
    }
    checks.push(never_block(expected));
    checks.push(mode(expected));
    match known("clock", &facts.clock_skew_ms, "see that the bucket of the ledger is there") {
        Ok(skew) => checks.push(clock(*skew)),
        Err(check) => checks.push(check),
    }
    let fix = "it is made by the first apply; if it is lost: portcullis ledger rebuild";
    match known("ledger", &facts.ledger, fix) {
        Ok(ledger) => checks.extend(self::ledger(ledger, facts.now)),
        Err(check) => checks.push(check),
    }
    match known("last-run", &facts.runs, "start the schedule") {
        Ok(runs) => checks.extend(self::runs(runs, facts.now)),
        // Whoever runs the program by hand has no schedule, and knows it.
        Err(check) if matches!(facts.runs, Answer::NotAsked(_)) => {
            checks.push(Check { verdict: Verdict::Warning, ..check });
        }
        Err(check) => checks.push(check),
    }
    checks
}

fn caller(caller: &Caller, expected: &Expected) -> Check {
    let Caller { account, arn } = caller;
    if *account != expected.account {
        return Check::bad(
            "caller",
            format!("{arn} is of account {account}, and the target is of {}", expected.account),
            "set assume-role or profile of the target",
        );
    }
    Check::good("caller", arn)
}

/// Whether the caller may do more than it needs. What is missing, every other check says by
/// itself; what is too much could be read with rights of IAM only, and by trying nothing that
/// changes anything. So names are looked at, and the rest is said to be unchecked.
fn permissions(Caller { arn, .. }: &Caller) -> Check {
    let roles = "use the roles that portcullis init writes";
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    if resource == "root" {
        let finding = format!("{arn} is the root of the account, and may do everything");
        return Check::bad("permissions", finding, roles);
    }
    if resource.to_ascii_lowercase().contains("admin") {
        let finding =
            format!("{arn} is an administrator by its name: it may do more than it needs");
        return Check::warning("permissions", finding, roles);
    }
    Check::unchecked(
        "permissions",
        "whether the caller may do more than it needs: its policies are shown to IAM's readers only",
        "compare them with those that portcullis init writes",
    )
}

fn never_block(expected: &Expected) -> Check {
    let fix = "list your own offices, monitors and partners in a file, and name it in never-block";
    match &expected.never_block {
        Err(detail) => {
            Check::bad("never-block", detail, "mend the list: without it nobody is blocked")
        }
        Ok(0) => Check::bad("never-block", "there is no list: nobody is blocked without one", fix),
        Ok(entries) => Check::good("never-block", format!("{entries} networks")),
    }
}

fn mode(expected: &Expected) -> Check {
    let name = expected.mode.name();
    match expected.mode {
        Mode::Observe => Check::warning(
            "mode",
            format!("{name}: nothing is put into a set"),
            "set mode to suggest, canary or enforce when the plans have proved right",
        ),
        Mode::Suggest | Mode::Canary | Mode::Enforce => Check::good("mode", name),
    }
}

fn clock(skew_ms: i64) -> Check {
    let seconds = skew_ms / 1_000;
    let finding = match seconds {
        0 => "as S3 has it".to_owned(),
        1.. => format!("{seconds} s ahead of S3"),
        _ => format!("{} s behind S3", -seconds),
    };
    if skew_ms.abs() > MOST_SKEW_MS {
        return Check::bad("clock", finding, "set the clock by NTP: blocks end by it");
    }
    Check::good("clock", finding)
}

fn ledger(ledger: &LedgerFacts, now: Timestamp) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(reason) = &ledger.halted {
        checks.push(Check::bad(
            "halt",
            format!("the kill switch is pulled: {reason}"),
            "release it where it was pulled when the reason is gone",
        ));
    }
    checks.push(match ledger.failed_runs {
        0 => Check::good("ledger", format!("{} entries are ours", ledger.entries)),
        runs => Check::warning(
            "ledger",
            format!("the last {runs} runs that changed sets failed"),
            "portcullis apply says why; from three on nothing is added until a write succeeds",
        ),
    });
    let late_ms = ledger.overdue_since.map_or(0, |since| now.epoch_ms() - since.epoch_ms());
    checks.push(if late_ms > LONGEST_OVERDUE_MS {
        let minutes = late_ms / MINUTE_MS;
        let entries = match ledger.overdue {
            1 => "1 entry is past its end".to_owned(),
            count => format!("{count} entries are past their end"),
        };
        Check::bad(
            "expiry",
            format!("{entries}, the first by {minutes} min"),
            "run portcullis expire, and see why its schedule does not",
        )
    } else {
        Check::good("expiry", "no entry is past its end")
    });
    checks
}

fn runs(runs: &Runs, now: Timestamp) -> Vec<Check> {
    let named = [
        ("last-run", "good run", runs.last_good, "portcullis run, by hand, says what is wrong"),
        ("last-expire", "expiry", runs.last_expire, "see that the schedule of expire runs"),
    ];
    let check = |(name, what, last, fix): (_, _, Option<Timestamp>, _)| {
        let Some(last) = last else {
            return Check::bad(name, format!("there was no {what} yet"), fix);
        };
        let age_ms = now.epoch_ms() - last.epoch_ms();
        let finding = format!("the last {what} was {} min ago", age_ms / MINUTE_MS);
        if age_ms > LONGEST_WITHOUT_RUN_MS {
            Check::bad(name, finding, fix)
        } else {
            Check::good(name, finding)
        }
    };
    named.map(check).into()
}
