//! What published ranges and domains of crawlers change: whom they spare, and whom they do not.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

use portcullis_detection::{
    Account, Correlation, Crawlers, Findings, Ground, HostNames, Question, RuleSet, Scan, Standing,
};
use portcullis_ingest::{Origin, Request, Timestamp, Untrusted};
use proptest::prelude::*;

const INSIDE: &str = "192.0.2.7";
const OUTSIDE: &str = "203.0.113.7";
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// The rules compiled in, with ranges of one crawler.
fn rules() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| {
        let mut crawlers = Crawlers::default();
        let file = r#"{"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}]}"#;
        crawlers.add("Googlebot", file).expect("a good file");
        RuleSet::builtin().with_crawlers(crawlers)
    })
}

/// One request: its agent, its path, its status, milliseconds since the one before.
#[derive(Debug, Clone)]
struct Sent {
    agent: &'static str,
    path: String,
    status: u16,
    after_ms: i64,
}

fn sent(agent: &'static str, path: &str, status: u16) -> Sent {
    Sent { agent, path: path.to_owned(), status, after_ms: 40 }
}

fn scan<'r>(mut scan: Scan<'r>, client: &str, requests: &[Sent]) -> Scan<'r> {
    let mut epoch_ms = 1_700_000_000_000;
    for (offset, sent) in (0..).zip(requests) {
        epoch_ms += sent.after_ms;
        scan.observe(&Request {
            time: Timestamp::from_epoch_ms(epoch_ms),
            client: Some(client.parse().expect("an address")),
            method: Some(Untrusted::new(b"GET")),
            path: Some(Untrusted::new(sent.path.as_bytes())),
            user_agent: Some(Untrusted::new(sent.agent.as_bytes())),
            status: Some(sent.status),
            origin: Origin { object: "o", offset },
            ..Request::default()
        });
    }
    scan
}

fn findings(rules: &RuleSet, client: &str, requests: &[Sent]) -> Findings {
    scan(Scan::new(rules), client, requests).finish()
}

fn account(client: &str, requests: &[Sent]) -> Account {
    let question = Question::Source(client.parse().expect("an address"));
    let answer = scan(Scan::asked(rules(), question), client, requests).answer();
    answer.expect("there is a question").account.expect("the source was seen")
}

/// Many dead links in a short time.
fn dead_links() -> Vec<Sent> {
    (0..2_000).map(|n| sent(CRAWLER, &format!("/old/page-{n}"), 404)).collect()
}

fn parts(account: &Account) -> u32 {
    let of_rules: u32 = account.detections.iter().map(|detection| detection.points).sum();
    of_rules + account.correlations.iter().map(|correlation| correlation.points()).sum::<u32>()
}

#[test]
fn a_crawler_is_watched_for_what_makes_an_offender_of_others() {
    let requests = dead_links();
    let without = findings(&RuleSet::builtin(), INSIDE, &requests);
    assert_eq!(without.offenders.len(), 1, "{without:?}");
    let with = findings(rules(), INSIDE, &requests);
    assert!(with.offenders.is_empty(), "{with:?}");
    let [watched] = &with.watched[..] else { panic!("{with:?}") };
    assert!(watched.grounds.contains(&Ground::VerifiedCrawler));
    assert_eq!(watched.score, without.offenders[0].score, "nothing is hidden");
}

#[test]
fn an_address_in_the_ranges_is_no_crawler_by_itself() {
    let mut requests = dead_links();
    for sent in &mut requests {
        sent.agent = "curl/8";
    }
    assert_eq!(findings(rules(), INSIDE, &requests).offenders.len(), 1);
    // Nor is one that says so now and then.
    for sent in requests.iter_mut().take(999) {
        sent.agent = CRAWLER;
    }
    assert_eq!(findings(rules(), INSIDE, &requests).offenders.len(), 1);
    requests[999].agent = CRAWLER;
    assert_eq!(findings(rules(), INSIDE, &requests).offenders.len(), 0);
}

#[test]
fn a_false_claim_adds_its_points_and_makes_nobody_an_offender_by_itself() {
    let requests: Vec<Sent> = (0..50).map(|_| sent(CRAWLER, "/", 200)).collect();
    let claimed = account(OUTSIDE, &requests);
    assert_eq!(claimed.standing, Standing::Quiet);
    assert_eq!(claimed.correlations, [Correlation::FalseCrawler]);
    assert_eq!(claimed.score, Correlation::FalseCrawler.points());
    assert!(account(INSIDE, &requests).correlations.is_empty());

    let rates = account(OUTSIDE, &dead_links());
    assert_eq!(rates.standing, Standing::Offender);
    assert!(rates.correlations.contains(&Correlation::FalseCrawler));
    assert_eq!(rates.score, parts(&rates));
    let true_crawler = account(INSIDE, &dead_links());
    assert_eq!(rates.score, true_crawler.score + Correlation::FalseCrawler.points());
}

#[test]
fn a_crawler_that_follows_planted_links_is_watched_and_who_only_says_so_is_an_offender() {
    let good = (0..300).map(|n| sent(CRAWLER, &format!("/products/{n}"), 200));
    let planted = || sent(CRAWLER, "/files/..%2f..%2f..%2f..%2fetc%2fpasswd", 404);
    let requests: Vec<Sent> = good.chain((0..5).map(|_| planted())).collect();
    for requests in [&requests[..], &requests[300..]] {
        let crawler = account(INSIDE, requests);
        assert_eq!(crawler.standing, Standing::Watched);
        assert!(crawler.grounds.contains(&Ground::VerifiedCrawler), "{:?}", crawler.grounds);
        assert!(crawler.changes.is_empty(), "nothing that it asks for: {:?}", crawler.changes);
        assert_eq!(crawler.score, parts(&crawler), "nothing is hidden");

        let attacker = account(OUTSIDE, requests);
        assert_eq!(attacker.standing, Standing::Offender);
        assert!(!attacker.grounds.contains(&Ground::VerifiedCrawler));
        assert_eq!(attacker.score, parts(&attacker));
    }
}

#[test]
fn states_of_other_crawlers_are_refused() {
    let builtin = RuleSet::builtin();
    let state = scan(Scan::new(rules()), INSIDE, &dead_links()[..3]).into_bytes();
    assert!(Scan::from_bytes(rules(), &state).is_ok());
    assert!(Scan::from_bytes(&builtin, &state).is_err());
    assert_eq!(builtin.digest(), builtin.with_crawlers(Crawlers::default()).digest());
}

/// Names of hosts, of which [`INSIDE`] is a crawler's and that of [`SILENT`] never answers;
/// keeps what it was asked.
#[derive(Debug, Default)]
struct Zone(Mutex<Vec<IpAddr>>);

const SILENT: &str = "198.51.100.9";

impl HostNames for Zone {
    fn confirmed(&self, addresses: &[IpAddr]) -> Vec<Option<Vec<String>>> {
        self.0.lock().expect("no panic").extend(addresses);
        let of = |address: &IpAddr| match address.to_string().as_str() {
            INSIDE => Some(vec!["crawl-192-0-2-7.googlebot.com".to_owned()]),
            SILENT => None,
            _ => Some(vec!["host.example.net".to_owned()]),
        };
        addresses.iter().map(of).collect()
    }
}

fn rules_by_name(zone: &Arc<Zone>) -> RuleSet {
    let mut crawlers = Crawlers::default();
    crawlers.add_domain("Googlebot", "googlebot.com").expect("a good domain");
    RuleSet::builtin().with_crawlers(crawlers.asking(Arc::<Zone>::clone(zone)))
}

#[test]
fn the_name_of_a_host_settles_a_claim_as_its_address_does() {
    let zone = Arc::default();
    let rules = rules_by_name(&zone);
    let crawler = findings(&rules, INSIDE, &dead_links());
    assert!(crawler.offenders.is_empty(), "{crawler:?}");
    assert!(crawler.watched[0].grounds.contains(&Ground::VerifiedCrawler));

    let other = findings(&rules, OUTSIDE, &dead_links());
    assert_eq!(other.offenders[0].correlations, [Correlation::FalseCrawler]);
    assert_eq!(other.coverage.open_claims, 0);

    let unknown = findings(&rules, SILENT, &dead_links());
    assert_eq!(unknown.offenders.len(), 1, "nobody is spared for a name that is not known");
    assert!(unknown.offenders[0].correlations.is_empty(), "nor is it held against them");
    assert_eq!(unknown.coverage.open_claims, 1);
}

#[test]
fn only_who_stands_out_is_asked_about_and_each_once() {
    let zone = Arc::default();
    let rules = rules_by_name(&zone);
    let one = [sent(CRAWLER, "/", 200)];
    let mut quiet = Scan::new(&rules);
    for host in 0..200 {
        quiet = scan(quiet, &format!("198.18.0.{host}"), &one);
    }
    let both = scan(scan(quiet, OUTSIDE, &dead_links()), INSIDE, &dead_links());
    let found = both.finish();
    assert_eq!((found.offenders.len(), found.watched.len()), (1, 1));
    assert_eq!(found.coverage.open_claims, 0);
    let mut asked = zone.0.lock().expect("no panic").clone();
    asked.sort_unstable();
    let expected: [IpAddr; 2] = [INSIDE, OUTSIDE].map(|text| text.parse().expect("an address"));
    assert_eq!(asked, expected);
}

#[test]
fn open_claims_travel_in_states_and_are_settled_at_the_end() {
    let zone = Arc::default();
    let rules = rules_by_name(&zone);
    let requests = dead_links();
    let (first, second) = requests.split_at(700);
    let mut merged = scan(Scan::new(&rules), "2001:db8::2", first);
    let state = scan(Scan::new(&rules), "2001:db8::1", second).into_bytes();
    assert!(zone.0.lock().expect("no panic").is_empty(), "nothing is asked on the way");
    merged.merge(Scan::from_bytes(&rules, &state).expect("a state"));
    let found = merged.finish();
    assert_eq!(found.offenders[0].correlations, [Correlation::FalseCrawler]);
    let asked = zone.0.lock().expect("no panic").clone();
    assert_eq!(asked, ["2001:db8::1".parse::<IpAddr>().expect("an address")], "the smallest");
}

fn harmless() -> impl Strategy<Value = Sent> {
    let agent = prop::sample::select(vec![
        CRAWLER,
        "Googlebot-Image/1.0",
        "sqlmap/1.8.4 Googlebot/2.1",
        "Mozilla/5.0 zgrab/0.x Googlebot",
    ]);
    let status = prop::sample::select(vec![200_u16, 301, 401, 403, 404, 429, 500]);
    (agent, 0..400_u32, status, 0..3_000_i64).prop_map(|(agent, page, status, after_ms)| Sent {
        agent,
        path: format!("/items/{page}"),
        status,
        after_ms,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn rates_and_agents_never_make_an_offender_of_a_crawler(
        requests in proptest::collection::vec(harmless(), 1..60),
        repeated in 1..40_usize,
        faster in 1..200_i64,
    ) {
        let mut requests = vec![requests; repeated].concat();
        for sent in &mut requests {
            sent.after_ms /= faster;
        }
        let found = findings(rules(), INSIDE, &requests);
        prop_assert!(found.offenders.is_empty(), "{:?}", found.offenders);
        let spared =
            found.watched.iter().all(|one| one.grounds.contains(&Ground::VerifiedCrawler)
                || one.grounds == [Ground::OnlySuggested]);
        prop_assert!(spared, "{:?}", found.watched);
    }

    #[test]
    fn claims_add_up_in_whatever_order_and_split(
        requests in proptest::collection::vec((harmless(), any::<bool>(), any::<bool>()), 0..60),
    ) {
        let client = |inside: bool| if inside { INSIDE } else { OUTSIDE };
        let mut whole = Scan::new(rules());
        let mut parts = [Scan::new(rules()), Scan::new(rules())];
        for (sent, inside, left) in &requests {
            let one = std::slice::from_ref(sent);
            whole = scan(whole, client(*inside), one);
            let part = std::mem::replace(&mut parts[usize::from(*left)], Scan::new(rules()));
            parts[usize::from(*left)] = scan(part, client(*inside), one);
        }
        let [mut left, right] = parts;
        let right = Scan::from_bytes(rules(), &right.into_bytes()).expect("a state");
        left.merge(right);
        prop_assert_eq!(left.into_bytes(), whole.into_bytes());
    }
}
