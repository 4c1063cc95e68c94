//! Databases, reputation lists and assets: what files that the operator gives change.

use serde_json::{Value, json};

use crate::mmdb::{Field, database};
use crate::support::{Files, attacks, portcullis};

/// Networks with what a database of each kind knows of them. The name would act on a terminal
/// and in a spreadsheet.
fn databases(files: &Files) -> [String; 2] {
    let country = |code| {
        let of = Field::Map(vec![("iso_code", Field::Text(code))]);
        Field::Map(vec![("country", of)])
    };
    let system = |number, name| {
        let name = ("autonomous_system_organization", Field::Text(name));
        Field::Map(vec![("autonomous_system_number", number), name])
    };
    let hostile = "=Example\u{1b}[31m\u{202e}<script>";
    let countries = [("203.0.113.0/24", country("NL")), ("2001:db8::/32", country("DE"))];
    let networks = [
        ("203.0.113.0/25", system(Field::Number(64_496), hostile)),
        ("198.51.100.0/24", system(Field::Short(64_497), "Own")),
    ];
    [
        files.write("country.mmdb", database("GeoLite2-Country", &countries)),
        files.write("asn.mmdb", database("GeoLite2-ASN", &networks)),
    ]
}

/// Three attackers: one is listed, one is ours, of one nothing is known.
fn log(files: &Files) -> String {
    let attackers = ["203.0.113.9", "198.51.100.9", "192.0.2.9"].map(|client| attacks(client, 20));
    files.write("a.log", attackers.concat())
}

/// The options that give all files, on the command line.
fn options(files: &Files) -> Vec<String> {
    let [countries, networks] = databases(files);
    let list = files.write("drop.txt", "; published\n203.0.113.8/30 ; SBL1\n");
    let assets = files.write("assets.csv", "198.51.100.0/28, build servers\n");
    let list = format!("drop={list}");
    ["--mmdb", &countries, "--mmdb", &networks, "--reputation", &list, "--assets", &assets]
        .map(str::to_owned)
        .into()
}

/// The three attackers as events, with all that is known of them.
pub fn events(files: &Files, shape: &str) -> Vec<u8> {
    let (object, options) = (log(files), options(files));
    run(&["scan", &object, "-o", shape], &options).stdout
}

fn run(command: &[&str], options: &[String]) -> crate::support::Ran {
    let options = options.iter().map(String::as_str);
    portcullis(command.iter().copied().chain(options)).run().expect_code(0)
}

#[track_caller]
fn offender<'s>(scan: &'s Value, source: &str) -> &'s Value {
    let entries = scan["offenders"].as_array().expect("a list");
    entries.iter().find(|entry| entry["source"] == source).unwrap_or_else(|| panic!("{source}"))
}

#[test]
fn what_is_known_stands_beside_every_source_and_a_list_is_a_line_of_the_sum() {
    let files = Files::new();
    let (object, options) = (log(&files), options(&files));
    let without = run(&["scan", &object, "-o", "json"], &[]).json();
    let scan = run(&["scan", &object, "-o", "json"], &options).json();

    let listed = offender(&scan, "203.0.113.9");
    assert_eq!(listed["country"], "NL");
    assert_eq!(listed["as_number"], 64_496);
    assert_eq!(listed["as_name"], "=Example\\u{1b}[31m\\u{202e}<script>");
    assert_eq!(listed["listed"], json!(["drop"]));
    let before = offender(&without, "203.0.113.9")["score"].as_u64().expect("a score");
    assert_eq!(listed["score"], before + 20);
    let ours = offender(&scan, "198.51.100.9");
    assert_eq!((&ours["asset"], &ours["as_number"]), (&json!("build servers"), &json!(64_497)));
    assert_eq!(ours["score"], offender(&without, "198.51.100.9")["score"]);
    assert_eq!(offender(&scan, "192.0.2.9"), offender(&without, "192.0.2.9"));

    let explained = run(&["explain", "203.0.113.9", &object, "-o", "json"], &options).json();
    let account = &explained["account"];
    let sum = |list: &str| -> u64 {
        let parts = account[list].as_array().expect("a list");
        parts.iter().map(|part| part["points"].as_u64().expect("points")).sum()
    };
    assert_eq!(account["score"], sum("score_parts") + sum("correlations"));
    let correlations = account["correlations"].as_array().expect("a list");
    assert!(correlations.iter().any(|one| one["correlation"] == "listed"), "{correlations:?}");

    let table = run(&["scan", &object], &options).text();
    assert!(table.contains("NL, AS64496 =Example\\u{1b}[31m"), "{table}");
    assert!(table.contains("listed by drop"), "{table}");
    let page = run(&["explain", "203.0.113.9", &object], &options).text();
    assert!(page.contains("  NL, AS64496"), "{page}");
    assert!(page.contains("20  listed: rules fired, and a reputation list"), "{page}");
    let csv = run(&["scan", &object, "-o", "csv"], &options).text();
    assert!(csv.contains("NL,64496,'=Example\\u{1b}"), "{csv}");
}

#[test]
fn an_asset_is_withheld_and_all_files_are_in_the_hash_of_the_configuration() {
    let files = Files::new();
    let (object, options) = (log(&files), options(&files));
    let plan = run(&["plan", &object, "-o", "json"], &options).json();
    let withheld = plan["withheld"].as_array().expect("a list");
    let [asset] = &withheld[..] else { panic!("{withheld:?}") };
    assert_eq!((&asset["source"], &asset["code"]), (&json!("198.51.100.9/32"), &json!("asset")));

    // The same by the configuration, whose paths are meant from where it is.
    let text = "[enrichment]\nmmdb = [\"country.mmdb\", \"asn.mmdb\"]\nassets = [\"assets.csv\"]\n\
                reputation = { drop = \"drop.txt\" }\n";
    let configuration = files.write("portcullis.toml", text);
    let of_file = ["--config".to_owned(), configuration];
    let at = ["--at", "2026-03-02T12:00:00Z"];
    let by_options = run(&[&["plan", &object, "-o", "json"], &at[..]].concat(), &options).json();
    let by_file = run(&[&["plan", &object, "-o", "json"], &at[..]].concat(), &of_file).json();
    assert_eq!(by_options, by_file);
}

#[test]
fn the_report_tells_where_offenders_come_from_and_that_one_is_ours() {
    let files = Files::new();
    let (object, options) = (log(&files), options(&files));
    let page = run(&["report", &object, "-o", "-"], &options).text();
    for expected in [
        "Where they come from",
        "<th scope=\"row\">NL</th>",
        "AS64496 =Example\\u{1b}[31m\\u{202e}&#60;script&#62;",
        "Of 2 offenders it is not known.",
        "Attacks come from networks of your own: find out who works at 198.51.100.9 (build servers).",
        "inside or around a network of your own",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    let page = run(&["report", &object, "-o", "-"], &[]).text();
    assert!(!page.contains("Where they come from"));
}

#[test]
fn a_file_that_is_not_whole_is_refused_with_its_name_and_the_repair() {
    let files = Files::new();
    let object = log(&files);
    let [countries, _] = databases(&files);
    let whole = std::fs::read(&countries).expect("the database");
    let other = Field::Map(vec![("is_anonymous", Field::Number(1))]);
    let other = database("GeoIP2-Anonymous-IP", &[("203.0.113.0/24", other)]);
    let cut_tree: Vec<u8> = whole.iter().skip(300).copied().collect();
    for (bytes, expected) in [
        (b"PK\x03\x04".to_vec(), "fetch the file again; it must be in the MaxMind DB format"),
        (whole[..whole.len() - 40].to_vec(), "fetch the file again"),
        (cut_tree, "fetch the file again"),
        (other, "it is of type `GeoIP2-Anonymous-IP`, and knows neither countries nor AS numbers"),
    ] {
        let broken = files.write("broken.mmdb", bytes);
        let ran = portcullis(["scan", &object, "--mmdb", &broken]).run().expect_code(1);
        assert!(ran.stderr.contains("failed to read the database `"), "{}", ran.stderr);
        assert!(ran.stderr.contains("broken.mmdb"), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert_eq!(ran.text(), "");
    }

    let list = files.write("bad.txt", "203.0.113.9\n0.0.0.0/0\n203.0.113.9/24\n");
    let ran = portcullis(["scan", &object, "--reputation", &format!("bad={list}")]).run();
    let ran = ran.expect_code(1);
    assert!(ran.stderr.contains("bad.txt:2:1: `0.0.0.0/0` is every address"), "{}", ran.stderr);
    assert!(ran.stderr.contains("bad.txt:3:1: `203.0.113.9/24` has host bits"), "{}", ran.stderr);
    let assets = files.write("bad.csv", "198.51.100.1\n");
    let ran = portcullis(["plan", &object, "--assets", &assets]).run().expect_code(1);
    assert!(
        ran.stderr.contains("has no name; write `198.51.100.1,build server`"),
        "{}",
        ran.stderr
    );
}
