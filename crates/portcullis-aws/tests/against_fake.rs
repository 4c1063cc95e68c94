//! The real SDK against a strict stand-in for AWS, on its best and on its worst days.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fake_aws::{ACCOUNT, FakeAws, Faults};
use ipnet::IpNet;
use portcullis_aws::{Connection, Keys, Options, Pace, S3Ledger, SystemClock, WafIpSets};
use portcullis_ingest::Timestamp;
use portcullis_remediation::{
    Applied, ApplyError, Cause, Change, Changes, Clock, Digests, Done, Figures, IpSets, Kind,
    LedgerStore as _, NeverBlock, Order, ReadError, SaveError, Scope, Target, WriteError, apply,
    verify_audit,
};

const REGION: &str = "eu-west-1";
const V4: &str = "portcullis-v4";
const V6: &str = "portcullis-v6";

fn target() -> Target {
    Target::new(ACCOUNT, REGION, Scope::Regional)
}

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

/// A server with the two usual sets and a bucket.
fn fake() -> FakeAws {
    let fake = FakeAws::start(fake_aws::Options::default());
    fake.create_ip_set(REGION, "REGIONAL", V4, "IPV4");
    fake.create_ip_set(REGION, "REGIONAL", V6, "IPV6");
    fake.create_bucket("logs");
    fake
}

fn run<Output>(future: impl Future<Output = Output>) -> Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(future)
}

async fn connection(fake: &FakeAws) -> Connection {
    let keys = Keys { id: "AKIAEXAMPLE".to_owned(), secret: "secret".to_owned() };
    let options = Options {
        region: Some(REGION.to_owned()),
        endpoint_url: Some(fake.url()),
        keys: Some(keys),
        path_style: true,
        timeout: Duration::from_millis(1_500),
        ..Options::default()
    };
    Connection::open(&options).await
}

/// Sets without a limit on the rate of updates.
async fn sets(fake: &FakeAws) -> WafIpSets {
    WafIpSets::new(&connection(fake).await, &target(), Pace::of(Duration::ZERO))
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn additions(operation: &str, networks: &[&str], term_ms: i64) -> Changes {
    let add = |text: &&str| Change::Add {
        set: if text.contains(':') { V6 } else { V4 }.to_owned(),
        network: network(text),
        term_ms,
        strikes: 1,
        cause: Cause {
            score: 320,
            rules: vec!["probe/dotfiles".to_owned()],
            reason: "probe/dotfiles (31 requests)".to_owned(),
            evidence: Vec::new(),
            last: Some(now()),
        },
    };
    Changes {
        operation: operation.to_owned(),
        kind: Kind::Plan,
        target: target(),
        created_at: now(),
        not_after: Timestamp::MAX,
        ledger: None,
        base: Vec::new(),
        changes: networks.iter().map(add).collect(),
        figures: Figures::default(),
        digests: Digests::default(),
    }
}

fn list() -> NeverBlock {
    NeverBlock::parse("never-block.txt", "198.51.100.0/24 head office").expect("a valid list")
}

/// Waits a twentieth of what it should, because the server is near.
struct Hurried;

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn wait(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds / 20)).await;
    }
}

async fn carry_out(
    changes: &Changes,
    sets: &WafIpSets,
    store: &S3Ledger,
) -> Result<Applied, ApplyError> {
    let (target, list) = (target(), list());
    let order = Order { takes_lease: true, ..Order::new(&target, "tests", Some(&list)) };
    apply(changes, &order, sets, store, &Hurried).await
}

/// What the server holds, as networks.
fn held(fake: &FakeAws, set: &str) -> BTreeSet<IpNet> {
    let record = fake.ip_set(REGION, "REGIONAL", set).expect("it is there");
    record.addresses.iter().map(|text| network(text)).collect()
}

#[test]
fn every_page_of_a_list_is_turned() {
    let fake = fake();
    let names: Vec<_> = (0..7).map(|number| format!("other-{number}")).collect();
    for name in &names {
        fake.create_ip_set(REGION, "REGIONAL", name, "IPV4");
    }
    let listed = run(async { sets(&fake).await.list().await }).expect("the server answers");
    let listed: Vec<_> = listed.into_iter().map(|set| set.name).collect();
    let expected: Vec<_> = names.into_iter().chain([V4.to_owned(), V6.to_owned()]).collect();
    assert_eq!(listed, expected);
    assert!(fake.figures().0 >= 9, "pages of one");
}

#[test]
fn blocks_are_added_found_expired_and_rolled_back() {
    let fake = fake();
    fake.edit(REGION, "REGIONAL", V4, &["203.0.113.7/32"], &[]);
    fake.edit(REGION, "REGIONAL", V6, &["2001:db8:aaaa::/64"], &[]);
    run(async {
        let sets = sets(&fake).await;
        let store = S3Ledger::new(&connection(&fake).await, "logs", "portcullis/test");
        let both = ["198.18.0.1/32", "2001:db8:0:7::/64"];
        // Its time is over when it begins.
        let applied = carry_out(&additions("op-1", &both, 0), &sets, &store).await;
        let applied = applied.expect("nothing is in the way");
        assert!(applied.done.iter().all(|(_, done)| *done == Done::Added), "{applied:?}");
        assert_eq!(applied.unconfirmed, [""; 0]);
        assert!(held(&fake, V4).contains(&network(both[0])));
        // IPv6 comes back in another spelling, and is the same.
        assert!(held(&fake, V6).contains(&network(both[1])));

        carry_out(&additions("op-2", &["198.18.0.2/32"], 3_600_000), &sets, &store)
            .await
            .expect("nothing is in the way");
        let (ledger, _) = store.load().await.expect("it answers").expect("it was saved");
        let expire = Changes::expire(&ledger, None, "op-3", now());
        carry_out(&expire, &sets, &store).await.expect("nothing is in the way");
        let expected = [network("198.18.0.2/32"), network("203.0.113.7/32")];
        assert_eq!(held(&fake, V4), expected.into());
        assert_eq!(held(&fake, V6), [network("2001:db8:aaaa::/64")].into());

        let (ledger, _) = store.load().await.expect("it answers").expect("it was saved");
        let rollback = Changes::rollback(&ledger, "op-2", "op-4", now());
        carry_out(&rollback, &sets, &store).await.expect("nothing is in the way");
        assert_eq!(held(&fake, V4), [network("203.0.113.7/32")].into());

        let (ledger, _) = store.load().await.expect("it answers").expect("it was saved");
        let account = store.audit().await.expect("it answers");
        let lines = verify_audit(&account, ledger.audit_head()).expect("the chain holds");
        assert_eq!(lines.len(), 6);
    });
    let record = fake.ip_set(REGION, "REGIONAL", V4).expect("it is there");
    assert_eq!(record.description.as_deref(), Some("made by a test"));
}

#[test]
fn a_stale_token_is_told_apart_from_every_other_refusal() {
    let fake = fake();
    run(async {
        let sets = sets(&fake).await;
        let mut read = sets.read(V4).await.expect("it is there");
        fake.edit(REGION, "REGIONAL", V4, &["203.0.113.7/32"], &[]);
        read.insert(network("198.18.0.1/32")).expect("a valid entry");
        assert_eq!(sets.write(&read).await, Err(WriteError::Stale));
        assert_eq!(held(&fake, V4), [network("203.0.113.7/32")].into());

        let missing = sets.read("missing").await.expect_err("there is none");
        assert_eq!(missing, ReadError::Missing("missing".to_owned()));

        let mut fresh = sets.read(V4).await.expect("it is there");
        fresh.insert(network("198.18.0.1/32")).expect("a valid entry");
        fake.set_faults(Faults { throttle: 1_000, ..Faults::default() });
        let busy = sets.write(&fresh).await.expect_err("it is throttled");
        assert_eq!(busy, WriteError::Busy("ThrottlingException: Rate exceeded".to_owned()));
        fake.set_faults(Faults { broken: 1_000, ..Faults::default() });
        let broken = sets.write(&fresh).await.expect_err("it is broken");
        assert!(
            matches!(&broken, WriteError::Unknown(text) if text.starts_with("WAFInternalErrorException")),
            "{broken:?}"
        );
        fake.set_faults(Faults { reset_after: 1_000, ..Faults::default() });
        let lost = sets.write(&fresh).await.expect_err("the answer was lost");
        assert!(matches!(lost, WriteError::Unknown(_)), "{lost:?}");
        // It was written all the same, and once.
        assert!(held(&fake, V4).contains(&network("198.18.0.1/32")));
        let record = fake.ip_set(REGION, "REGIONAL", V4).expect("it is there");
        assert_eq!(record.updates, 2);
    });
}

#[test]
fn cloudfront_sets_are_reached_in_us_east_1_and_other_accounts_are_refused() {
    let fake = fake();
    fake.create_ip_set("us-east-1", "CLOUDFRONT", "edge", "IPV4");
    run(async {
        let connection = connection(&fake).await;
        let edge = Target::new(ACCOUNT, REGION, Scope::CloudFront);
        let sets = WafIpSets::new(&connection, &edge, Pace::default());
        assert_eq!(sets.read("edge").await.map(|set| set.name().to_owned()), Ok("edge".to_owned()));

        let other = Target::new("444455556666", REGION, Scope::Regional);
        let sets = WafIpSets::new(&connection, &other, Pace::default());
        let error = sets.read(V4).await.expect_err("it is another account's");
        assert_eq!(
            error.to_string(),
            "set `portcullis-v4` belongs to account 111122223333, and the target is \
             444455556666/eu-west-1/REGIONAL"
        );
    });
}

#[test]
fn updates_keep_to_one_a_second() {
    let fake = fake();
    fake.set_least_between_updates(Duration::from_secs(1));
    run(async {
        let sets = WafIpSets::new(&connection(&fake).await, &target(), Pace::default());
        let begun = Instant::now();
        for number in 0..3 {
            let mut set = sets.read(V4).await.expect("it is there");
            set.insert(network(&format!("198.18.0.{number}/32"))).expect("a valid entry");
            assert_eq!(sets.write(&set).await, Ok(()), "update {number}");
        }
        assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_ledger_on_s3_is_saved_by_whoever_read_the_newest() {
    let fake = fake();
    run(async {
        let store = S3Ledger::new(&connection(&fake).await, "logs", "/portcullis/test/");
        assert_eq!(store.load().await, Ok(None));
        let ledger = portcullis_remediation::Ledger::new(target(), "lineage");
        let first = store.save(&ledger, None).await.expect("there is none yet");
        assert_eq!(store.save(&ledger, None).await, Err(SaveError::Conflict));
        let other = portcullis_remediation::Ledger::new(target(), "other");
        let second = store.save(&other, Some(&first)).await.expect("it is the newest");
        assert_eq!(store.save(&ledger, Some(&first)).await, Err(SaveError::Conflict));
        assert_eq!(store.load().await, Ok(Some((other, second))));

        assert_eq!(store.halted().await, Ok(None));
        fake.put_object("logs", "portcullis/test/HALT", b"by hand\n");
        assert_eq!(store.halted().await, Ok(Some("by hand".to_owned())));
        fake.put_object("logs", "portcullis/test/ledger.json", b"{\"schema_version\": 2");
        let error = store.load().await.expect_err("it is no ledger").to_string();
        assert!(error.starts_with("s3://logs/portcullis/test/ledger.json: line 1"), "{error}");
    });
}

#[test]
fn eight_writers_at_once_lose_nothing() {
    let fake = fake();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let fake = &fake;
            scope.spawn(move || {
                run(async {
                    let sets = sets(fake).await;
                    let store = S3Ledger::new(&connection(fake).await, "logs", "portcullis");
                    let (target, list) = (target(), list());
                    let who = format!("writer-{writer}");
                    let order = Order::new(&target, &who, Some(&list));
                    for round in 0..3 {
                        let ours = format!("198.18.{writer}.{round}/32");
                        let changes =
                            additions(&format!("op-{writer}-{round}"), &[&ours], 3_600_000);
                        // Another tool, which knows nothing of leases.
                        let theirs = format!("203.0.113.{}/32", writer * 10 + round);
                        fake.edit(REGION, "REGIONAL", V4, &[&theirs], &[]);
                        loop {
                            match apply(&changes, &order, &sets, &store, &Hurried).await {
                                Ok(_) => break,
                                Err(ApplyError::Leased(_) | ApplyError::LeaseLost) => {
                                    Hurried.wait(400 + 40 * writer).await;
                                }
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                });
            });
        }
    });
    assert_eq!(held(&fake, V4).len(), 48);
    let account = run(async {
        let store = S3Ledger::new(&connection(&fake).await, "logs", "portcullis");
        let (ledger, _) = store.load().await.expect("it answers").expect("it was saved");
        let account = store.audit().await.expect("it answers");
        assert_eq!(ledger.entries().len(), 24);
        verify_audit(&account, ledger.audit_head()).expect("the chain holds")
    });
    assert_eq!(account.len(), 24);
}

/// Every way in which a call may go wrong, at once.
const STORM: Faults = Faults {
    throttle: 60,
    broken: 30,
    broken_after: 30,
    reset_before: 30,
    reset_after: 30,
    slow: 10,
    short_body: 30,
    stale_read: 50,
    bit_flip: 10,
    slowness: Duration::from_millis(300),
};

#[test]
fn nothing_is_lost_over_a_bad_connection() {
    let rounds = std::env::var("PORTCULLIS_AWS_OPERATIONS").ok();
    let rounds: u32 = rounds.map_or(8, |text| text.parse().expect("a number of operations"));
    let fake = fake();
    let names = AtomicU64::new(0);
    let operation = || format!("op-{}", names.fetch_add(1, Ordering::Relaxed));
    let foreign: Vec<_> = (0..rounds % 200).map(|n| format!("203.0.113.{n}/32")).collect();
    run(async {
        let sets = sets(&fake).await;
        let store = S3Ledger::new(&connection(&fake).await, "logs", "portcullis/test");
        fake.set_faults(STORM);
        let mut failed = 0;
        for round in 0..rounds {
            if let Some(theirs) = foreign.get(round as usize) {
                fake.edit(REGION, "REGIONAL", V4, &[theirs], &[]);
            }
            let ours =
                [format!("198.18.0.{}/32", round % 20), format!("2001:db8:0:{round:x}::/64")];
            let ours: Vec<_> = ours.iter().map(String::as_str).collect();
            let changes = match store.load().await {
                Ok(Some((ledger, _))) if round % 3 == 2 => {
                    let any = ledger.entries().values().next().map(|entry| entry.operation.clone());
                    Changes::rollback(&ledger, &any.unwrap_or_default(), &operation(), now())
                }
                _ => additions(&operation(), &ours, 3_600_000),
            };
            failed += u32::from(carry_out(&changes, &sets, &store).await.is_err());
        }
        fake.set_faults(Faults::default());
        // One good run settles what was begun, and one confirms what is there.
        for _ in 0..2 {
            let last = additions(&operation(), &["198.18.9.9/32", "2001:db8:9:9::/64"], 3_600_000);
            carry_out(&last, &sets, &store).await.expect("nothing is in the way");
        }
        let (ledger, _) = store.load().await.expect("it answers").expect("it was saved");
        let theirs: BTreeSet<_> = foreign.iter().map(|text| network(text)).collect();
        let all: BTreeSet<_> = held(&fake, V4).union(&held(&fake, V6)).copied().collect();
        assert!(all.is_superset(&theirs), "an entry of somebody else was lost");
        let ours: BTreeSet<_> = ledger.entries().keys().copied().collect();
        let expected: BTreeSet<_> = all.difference(&theirs).copied().collect();
        assert_eq!(expected, ours, "an entry of ours is not in the ledger, or the reverse");
        let account = store.audit().await.expect("it answers");
        verify_audit(&account, ledger.audit_head()).expect("the chain holds");
        let (calls, injected) = fake.figures();
        println!("{rounds} operations, {failed} failed; {calls} calls, {injected} faults");
        assert!(injected > 0 && ours.len() > 2);
    });
}

#[test]
fn a_flipped_bit_in_a_ledger_is_never_believed() {
    let fake = fake();
    run(async {
        let (sets, connection) = (sets(&fake).await, connection(&fake).await);
        let store = S3Ledger::new(&connection, "logs", "portcullis/test");
        let changes = additions("op-1", &["198.18.0.1/32"], 3_600_000);
        carry_out(&changes, &sets, &store).await.expect("it is carried out");
        let before = store.load().await.expect("it is read").expect("it is there");
        fake.set_faults(Faults { bit_flip: 1_000, ..Faults::default() });
        for _ in 0..50 {
            let read = store.load().await;
            assert!(read.is_err(), "{read:?}");
        }
        fake.set_faults(Faults::default());
        assert_eq!(store.load().await.expect("it is read").expect("it is there"), before);
    });
}

#[test]
fn lines_that_come_or_go_while_the_account_is_listed_make_it_shorter_and_never_wrong() {
    let fake = fake();
    run(async {
        let (sets, connection) = (sets(&fake).await, connection(&fake).await);
        let store = S3Ledger::new(&connection, "logs", "portcullis/test");
        let both = ["198.18.0.1/32", "198.18.0.2/32", "198.18.0.3/32"];
        carry_out(&additions("op-1", &both, 3_600_000), &sets, &store).await.expect("carried out");
        let (ledger, _) = store.load().await.expect("it is read").expect("it is there");
        let key = |number: u32| format!("portcullis/test/audit/{number:012}.json");
        let third = fake.object("logs", &key(3)).expect("three lines");

        // A line that is written while the pages are turned is found.
        fake.delete_object("logs", &key(3));
        fake.put_object_during_list("logs", &key(3), &third);
        let account = store.audit().await.expect("it is read");
        assert_eq!(verify_audit(&account, ledger.audit_head()).expect("whole").len(), 3);

        // One that was listed and then was gone is missed, and that shows.
        fake.delete_object_during_list("logs", &key(1));
        let account = store.audit().await.expect("it is read");
        let error = verify_audit(&account, ledger.audit_head()).expect_err("a line is gone");
        assert_eq!(error.to_string(), "audit line 1: number 2 stands where 1 belongs");
    });
}
