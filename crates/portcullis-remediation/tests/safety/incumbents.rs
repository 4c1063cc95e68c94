//! What other tools that write IP sets were seen to do wrong, and what happens here.
//!
//! | | seen | here |
//! |---|---|---|
//! | R1 | fresh lock token, old addresses: another writer's entry is lost | the entry stays |
//! | R2 | a stale token is not recognised: one call, no second try | read again, written |
//! | R3 | throttling is swallowed, success is logged | tried again; an error if it lasts |
//! | R4 | 10,001 offenders: an exception, nobody is blocked | 10,000 blocked, one reason |
//! | R5 | state says "blocked" although the update failed | the ledger owns nothing |
//! | R6 | cut to 10,000 in alphabetical order: the worst is dropped | the worst is kept |
//! | R7 | the list of protected networks is missing: all may be blocked | nothing is added |
//! | R8 | no offenders, no update: the last block never ends | it ends |
//! | R9 | `/32` appended to IPv6 addresses | one IPv6 /64, typed |
//!
//! R1 to R5 were seen in a widely used set of Lambda functions for AWS WAF, R6 to R9 in
//! a public Terraform module. `docs/safety.md` has the table for readers.

use std::cell::{Cell, RefCell};

use ipnet::IpNet;
use portcullis_detection::{
    Background, Category, Confidence, Detection, Evidence, Findings, Ground, Offender, Outcomes,
    Severity,
};
use portcullis_ingest::{Timestamp, UntrustedBuf};
use portcullis_remediation::{
    Applied, ApplyError, BlockPolicy, BlockedRequests, BrakeLimits, Change, Changes, Clock, Done,
    Family, Holdings, IpSet, IpSets, Ledger, MemoryIpSets, MemoryLedger, NeverBlock, Order,
    Outcome, ReadError, Sets, Withheld, WriteError, apply, plan, plan_changes,
};

use crate::world::{START_MS, add, changes, network, never_block, now_or_never, target, time};

/// Sets that do something else at a write.
struct Scripted {
    sets: MemoryIpSets,
    /// Answers of the next writes; without one the write goes through.
    answers: RefCell<Vec<WriteError>>,
    /// What somebody else adds just before the next write.
    added_before_write: Cell<Option<IpNet>>,
    writes: Cell<u32>,
}

impl Scripted {
    fn new(answers: Vec<WriteError>) -> Self {
        Self {
            sets: MemoryIpSets::new(&Sets::empty()),
            answers: RefCell::new(answers),
            added_before_write: Cell::new(None),
            writes: Cell::new(0),
        }
    }

    fn v4(&self) -> Vec<String> {
        let set = self.sets.get("portcullis-v4").expect("it is there");
        set.addresses().iter().map(ToString::to_string).collect()
    }
}

impl IpSets for Scripted {
    async fn read(&self, name: &str) -> Result<IpSet, ReadError> {
        self.sets.read(name).await
    }

    async fn write(&self, set: &IpSet) -> Result<(), WriteError> {
        self.writes.set(self.writes.get() + 1);
        if let Some(network) = self.added_before_write.take() {
            let mut theirs = self.sets.get(set.name()).expect("it is there");
            theirs.insert(network).expect("a valid entry");
            self.sets.write(&theirs).await.expect("the token was just read");
        }
        let answer = self.answers.borrow_mut().pop();
        match answer {
            Some(error) => Err(error),
            None => self.sets.write(set).await,
        }
    }
}

/// Time that passes only when somebody waits.
struct Waiting(Cell<i64>);

impl Clock for Waiting {
    fn now(&self) -> Timestamp {
        time(self.0.get())
    }

    async fn wait(&self, milliseconds: u64) {
        self.0.set(self.0.get() + milliseconds.cast_signed());
    }
}

const SOURCE: &str = "198.18.0.1/32";

fn block() -> Changes {
    let now = time(START_MS);
    changes("op-1", vec![add(network(SOURCE), 3_600_000, now)], now)
}

fn carry_out(
    changes: &Changes,
    sets: &Scripted,
    store: &MemoryLedger,
    list: Option<&NeverBlock>,
) -> Result<Applied, ApplyError> {
    let target = target();
    let limits = BrakeLimits {
        adds_per_run: 10_000,
        floor: 10_000,
        adds_per_day: 10_000,
        ..BrakeLimits::default()
    };
    let order = Order { limits, ..Order::new(&target, "tests", list) };
    let clock = Waiting(Cell::new(changes.created_at.epoch_ms()));
    now_or_never(apply(changes, &order, sets, store, &clock))
}

#[test]
fn r1_an_entry_that_somebody_adds_meanwhile_is_kept() {
    let (sets, store) = (Scripted::new(Vec::new()), MemoryLedger::default());
    sets.added_before_write.set(Some(network("203.0.113.7/32")));
    carry_out(&block(), &sets, &store, Some(&never_block())).expect("it is tried again");
    assert_eq!(sets.v4(), [SOURCE, "203.0.113.7/32"]);
    let ledger = store.get().expect("it was saved");
    assert_eq!(ledger.entries().keys().copied().collect::<Vec<_>>(), [network(SOURCE)]);
}

#[test]
fn r2_a_stale_token_is_recognised_and_tried_again_within_bounds() {
    let (sets, store) = (Scripted::new(vec![WriteError::Stale]), MemoryLedger::default());
    let applied = carry_out(&block(), &sets, &store, Some(&never_block())).expect("tried again");
    assert_eq!((applied.conflicts, sets.writes.get()), (1, 2));
    assert_eq!(sets.v4(), [SOURCE]);

    let (sets, store) = (Scripted::new(vec![WriteError::Stale; 100]), MemoryLedger::default());
    let error = carry_out(&block(), &sets, &store, Some(&never_block())).expect_err("too often");
    assert!(matches!(error, ApplyError::Write { error: WriteError::Stale, .. }), "{error}");
    assert_eq!(sets.writes.get(), 6);
}

#[test]
fn r3_throttling_is_tried_again_and_an_error_when_it_lasts() {
    let busy = || WriteError::Busy("ThrottlingException".to_owned());
    let (sets, store) = (Scripted::new(vec![busy(); 3]), MemoryLedger::default());
    carry_out(&block(), &sets, &store, Some(&never_block())).expect("the fourth goes through");
    assert_eq!(sets.v4(), [SOURCE]);

    let (sets, store) = (Scripted::new(vec![busy(); 100]), MemoryLedger::default());
    let error = carry_out(&block(), &sets, &store, Some(&never_block())).expect_err("it lasts");
    assert_eq!(
        error.to_string(),
        "failed to write set `portcullis-v4`, tried 11 times: ThrottlingException"
    );
    let ledger = store.get().expect("it was saved");
    assert_eq!((ledger.failed_runs(), ledger.entries().len(), ledger.intent()), (1, 0, None));
}

#[test]
fn r4_ten_thousand_and_one_offenders_block_ten_thousand() {
    let (plan, _) = crowded();
    let held: Vec<_> = plan
        .decisions()
        .iter()
        .filter(|decision| matches!(decision.outcome, Outcome::Withheld(Withheld::SetFull { .. })))
        .collect();
    assert_eq!((plan.additions().count(), held.len()), (10_000, 1));
    let (sets, store) = (Scripted::new(Vec::new()), MemoryLedger::default());
    let changes = plan.changes().expect("a plan with a ledger");
    carry_out(changes, &sets, &store, Some(&never_block())).expect("they fit");
    assert_eq!(sets.v4().len(), 10_000);
    assert_eq!(store.get().expect("it was saved").entries().len(), 10_000);
}

#[test]
fn r5_what_was_not_written_is_not_owned() {
    let refused = WriteError::Refused("WAFInvalidParameterException".to_owned());
    let (sets, store) = (Scripted::new(vec![refused]), MemoryLedger::default());
    carry_out(&block(), &sets, &store, Some(&never_block())).expect_err("it was refused");
    let ledger = store.get().expect("it was saved");
    assert_eq!((ledger.entries().len(), ledger.intent(), ledger.lease()), (0, None, None));
}

#[test]
fn r6_the_worst_offender_has_room_wherever_it_sorts() {
    let (plan, worst) = crowded();
    assert_eq!(plan.decisions()[0].source, worst);
    assert!(plan.target().covering(worst).is_some());
}

#[test]
fn r7_without_a_never_block_list_nothing_is_added_and_expiry_goes_on() {
    let empty = NeverBlock::built_in();
    for list in [None, Some(&empty)] {
        let (sets, store) = (Scripted::new(Vec::new()), MemoryLedger::default());
        carry_out(&block(), &sets, &store, Some(&never_block())).expect("there is a list");
        let now = time(START_MS);
        let more = add(network("198.18.0.2/32"), 3_600_000, now);
        let more = changes("op-2", vec![more], now);
        let applied = carry_out(&more, &sets, &store, list).expect("there is nothing to do");
        let done: Vec<_> = applied.done.iter().map(|(_, done)| done).collect();
        assert_eq!(done, [&Done::NoNeverBlockList]);
        assert_eq!(sets.v4(), [SOURCE]);
        expire(&sets, &store, list);
        assert_eq!(sets.v4(), [""; 0]);
    }
}

#[test]
fn r8_without_offenders_the_last_block_ends() {
    let (sets, store) = (Scripted::new(Vec::new()), MemoryLedger::default());
    let list = never_block();
    carry_out(&block(), &sets, &store, Some(&list)).expect("nothing is in the way");
    let ledger = store.get().expect("it was saved");
    let now = time(START_MS + 3_700_000);
    let current = Sets::new(vec![sets.sets.get("portcullis-v4").expect("it is there")]);
    let current = current.expect("one set");
    let plan = planned(Vec::new(), &current, &ledger, &list, now);
    let changes = plan.changes().expect("a plan with a ledger");
    carry_out(changes, &sets, &store, Some(&list)).expect("nothing is in the way");
    assert_eq!(sets.v4(), [""; 0]);
}

#[test]
fn r9_an_ipv6_offender_is_one_64_and_nothing_else() {
    let offender = offender("2001:db8:0:7::/64", 320, START_MS);
    let findings = Findings { offenders: vec![offender], ..Findings::default() };
    let now = time(START_MS);
    let plan = plan(&findings, &Sets::empty(), &never_block(), &BlockPolicy::default(), now);
    let v6 = plan.target().get("portcullis-v6").expect("it is there");
    let entries: Vec<_> = v6.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(entries, ["2001:db8:0:7::/64"]);
    let mut set = IpSet::new("any", Family::V6).expect("a valid name");
    assert!(set.insert(network("2001:db8::1/32")).is_err());
    let wide = Change::Add {
        set: "portcullis-v6".to_owned(),
        network: network("2001:db8::/32"),
        term_ms: 1,
        strikes: 1,
        cause: crate::world::cause(now),
    };
    let (sets, store) = (Scripted::new(Vec::new()), MemoryLedger::default());
    let wide = changes("op-1", vec![wide], now);
    let applied = carry_out(&wide, &sets, &store, Some(&never_block())).expect("it is left out");
    assert!(matches!(applied.done[0].1, Done::Protected(_)), "{applied:?}");
    let narrow_list = NeverBlock::parse("list", "192.0.2.1").expect("a list");
    let wide = changes("op-2", vec![add(network("2001:db8::/32"), 1, now)], now);
    let error = carry_out(&wide, &sets, &store, Some(&narrow_list)).expect_err("it is too wide");
    assert_eq!(error.to_string(), "brake prefix-width: 2001:db8::/32 is a /32, limit /48");
}

fn expire(sets: &Scripted, store: &MemoryLedger, list: Option<&NeverBlock>) {
    let ledger = store.get().expect("it was saved");
    let changes = Changes::expire(&ledger, list, "op-expire", time(START_MS + 3_700_000));
    carry_out(&changes, sets, store, list).expect("nothing is in the way");
}

fn planned(
    offenders: Vec<Offender>,
    current: &Sets,
    ledger: &Ledger,
    list: &NeverBlock,
    now: Timestamp,
) -> portcullis_remediation::Plan {
    let findings = Findings { offenders, ..Findings::default() };
    let blocked_requests = BlockedRequests::LeftOut;
    let holdings = Holdings { ledger, operation: "op-plan", blocked_requests };
    plan_changes(&findings, current, list, &BlockPolicy::default(), &holdings, now)
}

/// The plan for 10,001 offenders of whom the worst has the last address.
fn crowded() -> (portcullis_remediation::Plan, IpNet) {
    let address = |number: u32| {
        let address = std::net::Ipv4Addr::from(0xc612_0000 + number);
        IpNet::from(std::net::IpAddr::V4(address))
    };
    let mut offenders: Vec<_> =
        (0..10_000).map(|number| offender(&address(number).to_string(), 320, START_MS)).collect();
    let worst = address(10_000);
    offenders.push(offender(&worst.to_string(), 640, START_MS));
    let ledger = Ledger::new(target(), "lineage");
    let now = time(START_MS);
    (planned(offenders, &Sets::empty(), &ledger, &never_block(), now), worst)
}

/// A source on which a rule of high severity fired.
fn offender(source: &str, score: u32, last_ms: i64) -> Offender {
    let last = Some(time(last_ms));
    let nothing = || UntrustedBuf::from(Vec::new());
    let detection = Detection {
        rule: "probe/dotfiles".into(),
        title: "Dotfiles".into(),
        category: Category::SensitiveFile,
        severity: Severity::High,
        confidence: Confidence::High,
        points: score,
        requests: 31,
        outcomes: Outcomes::default(),
        first: last,
        last,
        rate: None,
        suggests: None,
        evidence: vec![Evidence {
            object: "access-1.gz".into(),
            offset: 0,
            time: last,
            id: None,
            outcome: None,
            field: Some("path"),
            view: Some("decoded"),
            text: nothing(),
            matched: nothing(),
        }],
    };
    Offender {
        source: network(source),
        score,
        grounds: vec![Ground::Flagged],
        severity: Severity::High,
        confidence: Confidence::High,
        categories: vec![Category::SensitiveFile],
        detections: vec![detection],
        correlations: Vec::new(),
        requests: 40,
        flagged_requests: 31,
        good_requests: 0,
        outcomes: Outcomes::default(),
        principals: 0,
        first: last,
        last,
        background: Background::default(),
    }
}
