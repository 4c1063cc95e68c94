//! `--crawler-ranges`, `--crawler-domain`: crawlers told from those who only say that they
//! are. The resolver is one of our own, on loopback, that speaks DNS.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use simple_dns::rdata::{A, PTR, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

use crate::support::{Files, Record, START_EPOCH_MS, attacks, honest, portcullis, sources};

const RANGES: &str = r#"{"creationTime": "2025-11-03T15:46:05.000000",
    "prefixes": [{"ipv4Prefix": "203.0.113.0/28"}, {"ipv6Prefix": "2001:db8:1:2::/64"}]}"#;
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// A client that says to be a crawler and asks for many dead links in a short time.
fn dead_links(client: &str) -> String {
    (0..1_200)
        .map(|n| {
            Record {
                id: format!("dead-{n}"),
                client: client.to_owned(),
                epoch_ms: START_EPOCH_MS + 50 * n,
                path: format!("/prod/old/page-{n}"),
                status: 404,
                user_agent: CRAWLER.to_owned(),
                ..Record::default()
            }
            .line()
        })
        .collect()
}

fn log(files: &Files) -> String {
    let spoofed = attacks("203.0.113.50", 20).replace("Mozilla/5.0", "Googlebot/2.1 Mozilla/5.0");
    files.write("a.log", dead_links("203.0.113.9") + &dead_links("198.51.100.9") + &spoofed)
}

fn entry<'s>(scan: &'s Value, list: &str, source: &str) -> &'s Value {
    let entries = scan[list].as_array().expect("a list");
    entries.iter().find(|entry| entry["source"] == source).unwrap_or_else(|| panic!("{source}"))
}

fn has_false_claim(entry: &Value) -> bool {
    let correlations = entry["correlations"].as_array().expect("a list");
    correlations.iter().any(|one| one["correlation"] == "false-crawler")
}

#[test]
fn a_crawler_is_watched_and_who_only_says_so_stays_an_offender() {
    let files = Files::new();
    let object = log(&files);
    let without = portcullis(["scan", &object, "-o", "json"]).run().expect_code(0).json();
    let mut all = sources(&without);
    all.sort_unstable();
    assert_eq!(all, ["198.51.100.9", "203.0.113.50", "203.0.113.9"]);

    let ranges = format!("Googlebot={}", files.write("googlebot.json", RANGES));
    let given = ["--crawler-ranges", &ranges];
    let scan = portcullis([&["scan", &object, "-o", "json"], &given[..]].concat());
    let scan = scan.run().expect_code(0).json();
    let mut offenders = sources(&scan);
    offenders.sort_unstable();
    assert_eq!(offenders, ["198.51.100.9", "203.0.113.50"]);
    let watched = entry(&scan, "watched", "203.0.113.9");
    assert!(!has_false_claim(watched));
    for source in offenders {
        let before = entry(&without, "offenders", source)["score"].as_u64().expect("a score");
        let after = entry(&scan, "offenders", source);
        assert!(has_false_claim(after), "{source}");
        assert_eq!(after["score"], before + 20, "{source}");
    }

    let table = portcullis([&["scan", &object], &given[..]].concat()).run().expect_code(0).text();
    assert!(table.contains("a crawler, by its address or the name of its host"), "{table}");
    assert!(table.contains("says to be a crawler, and is not"), "{table}");

    let explained = portcullis([&["explain", "203.0.113.9", &object], &given[..]].concat());
    let explained = explained.run().expect_code(0).text();
    assert!(explained.contains("it is a crawler, by its address"), "{explained}");

    let plan = portcullis([&["plan", &object, "-o", "json"], &given[..]].concat());
    let plan = plan.run().expect_code(0).json();
    is_withheld_as_a_crawler(&plan);
    assert_eq!(plan["withheld"].as_array().map(Vec::len), Some(1));
}

/// Checks why the first of those that a plan withholds is.
#[track_caller]
fn is_withheld_as_a_crawler(plan: &Value) {
    let withheld = &plan["withheld"][0];
    assert_eq!(
        (&withheld["source"], &withheld["code"]),
        (&"203.0.113.9/32".into(), &"watched".into())
    );
    let explanation = withheld["explanation"].as_str().expect("a sentence");
    assert!(explanation.contains("it is a crawler, by its address"), "{explanation}");
}

#[test]
fn a_crawler_that_follows_planted_links_is_in_no_plan() {
    let files = Files::new();
    let followed = |client: &str| {
        let good = honest(client, 300).replace("Mozilla/5.0", "Googlebot/2.1 Mozilla/5.0");
        good + &attacks(client, 3).replace("Mozilla/5.0", "Googlebot/2.1 Mozilla/5.0")
    };
    let object = files.write("a.log", followed("203.0.113.9") + &followed("198.51.100.9"));
    let ranges = format!("Googlebot={}", files.write("googlebot.json", RANGES));
    let given = ["--crawler-ranges", &ranges, "-o", "json"];
    let plan = portcullis([&["plan", &object], &given[..]].concat()).run().expect_code(0).json();
    let added = plan["additions"].as_array().expect("a list");
    assert_eq!(added.len(), 1, "{plan}");
    assert_eq!(added[0]["address"], "198.51.100.9/32");
    is_withheld_as_a_crawler(&plan);
}

#[test]
fn the_configuration_names_ranges_from_where_it_is() {
    let files = Files::new();
    let object = log(&files);
    files.write("googlebot.json", RANGES);
    let settings = "[scan]\ncrawler-ranges = { Googlebot = \"googlebot.json\" }\n";
    let file = files.write("portcullis.toml", settings);
    let scan = portcullis(["scan", &object, "-o", "json", "--config", &file]).run();
    let scan = scan.expect_code(0).json();
    assert!(!sources(&scan).contains(&"203.0.113.9"));
}

#[test]
fn ranges_that_cannot_be_read_stop_everything() {
    let files = Files::new();
    let object = log(&files);
    let wrong = files.write("wrong.json", RANGES.replace("/28", "/28x"));
    let missing = format!("{wrong}.missing");
    for (file, expected) in [
        (&wrong, "prefix 1: `203.0.113.0/28x` is no network of its family"),
        (&missing, "failed to read the crawler ranges in"),
    ] {
        let given = format!("bingbot={file}");
        let run = portcullis(["scan", &object, "--crawler-ranges", &given]).run().expect_code(1);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
        assert!(run.stdout.is_empty(), "{}", run.text());
    }
}

#[test]
fn a_name_that_nobody_bears_is_doubted() {
    let files = Files::new();
    let object = log(&files);
    let ranges = files.write("googlebot.json", RANGES);
    let scan = |name: &str| {
        let given = format!("{name}={ranges}");
        portcullis(["scan", &object, "--crawler-ranges", &given]).run().expect_code(0).stderr
    };
    let doubted = scan("googlbot");
    assert!(doubted.contains("called `googlbot`; did you mean `googlebot`?"), "{doubted}");
    assert!(!scan("Googlebot").contains("did you mean"));
    assert!(!scan("our-own-crawler").contains("did you mean"));
}

/// What a resolver does when it is asked about a name.
#[derive(Clone, Copy)]
enum Says {
    Host(&'static str),
    Address([u8; 4]),
    /// The server of the zone does not work.
    Fails,
    /// With another's identifier and from a stranger's hand, again and again.
    Forges(&'static str),
    Nothing,
}

/// A resolver on loopback; gives its address and the names that it was asked for.
fn resolver(zone: &'static [(&'static str, Says)]) -> (String, Arc<Mutex<BTreeSet<String>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it is bound").to_string();
    let asked = Arc::<Mutex<BTreeSet<String>>>::default();
    let seen = Arc::clone(&asked);
    thread::spawn(move || {
        let mut datagram = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            let query = Packet::parse(&datagram[..length]).expect("a query");
            let name = query.questions[0].qname.to_string();
            let says = zone.iter().find(|(known, _)| *known == name).map(|(_, says)| *says);
            let mut reply = query.clone().into_reply();
            reply.set_flags(PacketFlag::RESPONSE);
            let answer = |data| {
                let owner = Name::new_unchecked(&name).into_owned();
                ResourceRecord::new(owner, CLASS::IN, 60, data)
            };
            match says {
                Some(Says::Host(host)) => {
                    reply.answers.push(answer(RData::PTR(PTR(Name::new_unchecked(host)))));
                }
                Some(Says::Address(octets)) => {
                    reply.answers.push(answer(RData::A(A::from(Ipv4Addr::from(octets)))));
                }
                Some(Says::Fails) => *reply.rcode_mut() = RCODE::ServerFailure,
                Some(Says::Forges(host)) => {
                    reply.set_id(query.id().wrapping_add(1));
                    reply.answers.push(answer(RData::PTR(PTR(Name::new_unchecked(host)))));
                }
                Some(Says::Nothing) => {}
                None => *reply.rcode_mut() = RCODE::NameError,
            }
            seen.lock().expect("no panic").insert(name.clone());
            if !matches!(says, Some(Says::Nothing)) {
                let bytes = reply.build_bytes_vec().expect("a reply");
                socket.send_to(&bytes, from).expect("it is sent");
            }
        }
    });
    (address, asked)
}

#[test]
fn a_name_that_has_the_address_in_turn_tells_a_crawler() {
    let zone: &[(&str, Says)] = &[
        // Agrees both ways.
        ("9.113.0.203.in-addr.arpa", Says::Host("crawl-9.googlebot.com")),
        ("crawl-9.googlebot.com", Says::Address([203, 0, 113, 9])),
        // Whoever owns an address names it as they like.
        ("9.100.51.198.in-addr.arpa", Says::Host("crawl-8.googlebot.com")),
        ("crawl-8.googlebot.com", Says::Address([203, 0, 113, 8])),
        // Agrees both ways, and is no crawler.
        ("10.100.51.198.in-addr.arpa", Says::Host("googlebot.com.example.net")),
        ("googlebot.com.example.net", Says::Address([198, 51, 100, 10])),
        ("12.100.51.198.in-addr.arpa", Says::Fails),
        ("13.100.51.198.in-addr.arpa", Says::Forges("crawl-9.googlebot.com")),
        ("14.100.51.198.in-addr.arpa", Says::Nothing),
    ];
    let (server, asked) = resolver(zone);
    let files = Files::new();
    let silent = ["198.51.100.12", "198.51.100.13", "198.51.100.14"];
    let false_ones = ["198.51.100.9", "198.51.100.10", "198.51.100.11"];
    let mut log = dead_links("203.0.113.9");
    for client in silent.iter().chain(&false_ones) {
        log += &dead_links(client);
    }
    let quiet = Record {
        client: "192.0.2.77".to_owned(),
        user_agent: CRAWLER.to_owned(),
        ..Record::default()
    };
    let object = files.write("a.log", log + &quiet.line());
    let given = ["--crawler-domain", "Googlebot=googlebot.com", "--dns-server", &server];
    let scan = portcullis([&["scan", &object, "-o", "json"], &given[..]].concat());
    let scan = scan.run().expect_code(0).json();

    assert!(!has_false_claim(entry(&scan, "watched", "203.0.113.9")));
    for source in silent {
        assert!(!has_false_claim(entry(&scan, "offenders", source)), "{source}");
    }
    for source in false_ones {
        assert!(has_false_claim(entry(&scan, "offenders", source)), "{source}");
    }
    assert_eq!(sources(&scan).len(), 6);
    assert_eq!(scan["coverage"]["open_crawler_claims"], 3);
    let asked = asked.lock().expect("no panic").clone();
    assert!(!asked.contains("77.2.0.192.in-addr.arpa"), "it does not stand out: {asked:?}");

    let settings = format!(
        "[scan]\ncrawler-domains = {{ Googlebot = [\"googlebot.com\"] }}\ndns-server = \"{server}\"\n"
    );
    let file = files.write("portcullis.toml", settings);
    let plan = portcullis(["plan", &object, "-o", "json", "--config", &file]).run();
    let plan = plan.expect_code(0).json();
    assert_eq!(plan["withheld"][0]["source"], "203.0.113.9/32");

    let table = portcullis([&["scan", &object], &given[..]].concat()).run().expect_code(0).text();
    assert!(table.contains("3 clients say to be a crawler, and no name of its host"), "{table}");
}

#[test]
fn a_domain_or_resolver_that_cannot_be_is_refused() {
    let files = Files::new();
    let object = log(&files);
    let run = portcullis(["scan", &object, "--crawler-domain", "Googlebot=com"]).run();
    let run = run.expect_code(1);
    assert!(run.stderr.contains("`com` is no domain of a crawler's hosts"), "{}", run.stderr);
    let given = ["--crawler-domain", "Googlebot=googlebot.com", "--dns-server", "resolver"];
    let run = portcullis([&["scan", &object], &given[..]].concat()).run().expect_code(64);
    assert!(run.stderr.contains("expected an address such as"), "{}", run.stderr);
}
