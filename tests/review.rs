//! `review`: who is let in, what is refused, and what is saved; and one source on the
//! terminal. What the pages do in a browser is tested in `tests/browser`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Files, attacks, honest, portcullis, workspace};
use crate::target::{AT, DUMMY_CREDENTIALS, V4, World};

const DATASET: &str = "datasets/firehose/recommended";
const DAY: &str = "2026-03-02T12:00:00Z";

/// A review being served; it ends with the test.
struct Served {
    child: Child,
    port: u16,
    key: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut address).expect("an address");
        let rest = address.trim().strip_prefix("http://127.0.0.1:").expect("on this machine");
        let (port, key) = rest.split_once("/#").expect("a port and a key");
        Self { port: port.parse().expect("a port"), key: key.to_owned(), child }
    }

    fn of(files: &Files, log: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let (decisions, plan) = (files.path("decisions.json"), files.path("plan.json"));
        command.env_clear().current_dir(workspace()).args(["review", log, "--at", DAY]);
        command.args(["--decisions", &decisions, "--out", &plan]);
        Self::start(command)
    }

    /// Sends a request as it is written here.
    fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer { status: status.expect("a status"), head: head.to_lowercase(), body: body.into() }
    }

    fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut lines = vec![format!("{method} {path} HTTP/1.1"), "Connection: close".to_owned()];
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            lines.push(format!("Host: 127.0.0.1:{}", self.port));
        }
        lines.extend(headers.iter().map(|header| (*header).to_owned()));
        if method == "POST" {
            lines.push("Content-Type: application/x-www-form-urlencoded".to_owned());
            lines.push(format!("Content-Length: {}", body.len()));
        }
        self.raw(&format!("{}\r\n\r\n{body}", lines.join("\r\n")))
    }

    fn origin(&self) -> String {
        format!("Origin: http://127.0.0.1:{}", self.port)
    }

    /// The header that the key is exchanged for.
    fn cookie(&self) -> String {
        let answer = self.send("POST", "/session", &[&self.origin()], &format!("key={}", self.key));
        assert_eq!(answer.status, 303, "{}", answer.head);
        let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = cookie.expect("a cookie");
        assert!(cookie.contains("httponly") && cookie.contains("samesite=strict"), "{cookie}");
        format!("Cookie: {}", cookie.split(';').next().expect("a value"))
    }

    /// The secret that forms carry.
    fn csrf(&self, cookie: &str) -> String {
        let page = self.send("GET", "/sources", &[cookie], "");
        assert_eq!(page.status, 200);
        let (_, rest) = page.body.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().expect("a value").to_owned()
    }

    fn post(&self, path: &str, fields: &str) -> Answer {
        let cookie = self.cookie();
        let csrf = self.csrf(&cookie);
        self.send("POST", path, &[&cookie, &self.origin()], &format!("csrf={csrf}&{fields}"))
    }
}

#[test]
fn strangers_are_refused_whatever_they_try() {
    let files = Files::new();
    let served = Served::of(&files, DATASET);
    let cookie = served.cookie();
    let csrf = served.csrf(&cookie);
    let approve = format!("csrf={csrf}&act=approve+198.18.30.9");
    let own = served.origin();
    let host = |name: &str| format!("Host: {name}:{}", served.port);

    // No cookie, or another one.
    assert_eq!(served.send("GET", "/sources", &[], "").status, 403);
    let wrong = format!("Cookie: portcullis-{}={}", served.port, "0".repeat(32));
    assert_eq!(served.send("GET", "/sources", &[&wrong], "").status, 403);
    assert_eq!(served.send("POST", "/decide", &[&wrong, &own], &approve).status, 403);
    // A wrong key gives no cookie.
    for key in ["", "0123456789abcdef0123456789abcdef", &served.key[..31]] {
        let answer = served.send("POST", "/session", &[&own], &format!("key={key}"));
        assert_eq!(answer.status, 403, "{key:?}");
        assert!(!answer.head.contains("set-cookie"), "{key:?}");
    }
    // A name that points here.
    for name in ["attacker.example", "localhost.attacker.example", "127.0.0.1.nip.io", "0.0.0.0"] {
        let answer = served.send("GET", "/sources", &[&host(name), &cookie], "");
        assert_eq!(answer.status, 421, "{name}");
        assert!(!answer.body.contains("198.18.30.9"), "{name}");
    }
    assert_eq!(served.send("GET", "/sources", &["Host: 127.0.0.1", &cookie], "").status, 421);
    // A form of another site, or of nobody knows where.
    for headers in [
        vec!["Origin: http://attacker.example".to_owned()],
        vec![format!("Origin: http://127.0.0.1:{}", served.port ^ 1)],
        vec![format!("Origin: http://localhost:{}", served.port)],
        vec!["Origin: null".to_owned()],
        vec![],
        vec![own.clone(), "Sec-Fetch-Site: cross-site".to_owned()],
        vec![own.clone(), "Sec-Fetch-Site: same-site".to_owned()],
    ] {
        let headers: Vec<&str> = headers.iter().chain([&cookie]).map(String::as_str).collect();
        assert_eq!(served.send("POST", "/decide", &headers, &approve).status, 403, "{headers:?}");
    }
    // A form without the secret, or with another one.
    for body in [
        "act=approve+198.18.30.9",
        "csrf=&act=approve+198.18.30.9",
        "csrf=x&act=approve+198.18.30.9",
    ] {
        for path in ["/decide", "/others", "/save", "/finish"] {
            let answer = served.send("POST", path, &[&cookie, &own], body);
            assert_eq!(answer.status, 403, "{path} {body}");
        }
    }
    // Nothing of all that was followed.
    let page = served.send("GET", "/plan", &[&cookie], "").body;
    assert!(page.contains("nothing decided"), "{page}");
    assert!(!std::path::Path::new(&files.path("decisions.json")).exists());
}

#[test]
fn there_are_only_the_pages_that_there_are() {
    let files = Files::new();
    let served = Served::of(&files, DATASET);
    let cookie = served.cookie();
    for path in [
        "/../../../../etc/passwd",
        "/source/../../etc/passwd",
        "/source/..%2f..%2f..%2fetc%2fpasswd",
        "/source/198.18.30.9/../../plan",
        "/source/203.0.113.0/24",
        "/source/192.0.2.1",
        "/source/",
        "/sources/",
        "/.env",
        "/%2e%2e/Cargo.toml",
        "//attacker.example/",
        "/review.js/../../Cargo.toml",
    ] {
        let answer = served.send("GET", path, &[&cookie], "");
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("root:") && !answer.body.contains("[package]"), "{path}");
    }
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        assert_eq!(served.send(method, "/sources", &[&cookie], "").status, 405, "{method}");
    }
    let long = format!("note={}", "x".repeat(100_000));
    assert_eq!(served.send("POST", "/decide", &[&cookie, &served.origin()], &long).status, 413);
    // What a form says about its page leads to no other place.
    for fields in [
        "act=reject+198.18.30.9&from=source&source=//attacker.example",
        "act=reject+198.18.30.9&from=http://attacker.example&query=%0d%0aSet-Cookie:+x=y",
    ] {
        let answer = served.post("/decide", fields);
        assert_eq!(answer.status, 303, "{fields}");
        let location = answer.head.lines().find(|line| line.starts_with("location: "));
        assert_eq!(location, Some("location: /sources"), "{fields}");
        assert!(!answer.head.contains("x=y"), "{fields}");
    }
    for fields in ["act=approve+192.0.2.1", "act=explode+198.18.30.9", "act=approve", "x=y"] {
        assert_eq!(served.post("/decide", fields).status, 400, "{fields}");
    }
    let short = "act=approve+198.18.30.9&duration=1&note=";
    assert!(served.post("/decide", short).body.contains("a person may ask for 300 s"));
}

#[test]
fn every_answer_tells_the_browser_what_it_may_not_do() {
    let files = Files::new();
    let served = Served::of(&files, DATASET);
    let cookie = served.cookie();
    for (path, headers) in [
        ("/", vec![]),
        ("/sources", vec![&cookie[..]]),
        ("/sources", vec![]),
        ("/source/198.18.30.9", vec![&cookie]),
        ("/plan", vec![&cookie]),
        ("/review.js", vec![]),
        ("/nothing", vec![&cookie]),
        ("/", vec!["Host: attacker.example"]),
    ] {
        let answer = served.send("GET", path, &headers, "");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; ",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: same-origin",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.head.contains(header), "{path}: {header}");
        }
        assert!(!answer.head.contains("unsafe-inline"), "{path}");
        assert!(!answer.head.contains("access-control-allow"), "{path}");
        assert!(!answer.body.contains(&served.key), "{path}: the key is on a page");
    }
}

#[test]
fn the_saved_plan_is_applied() {
    let world = World::new("suggest");
    let log = attacks("203.0.113.9", 60) + &attacks("203.0.113.10", 60);
    let log = world.files.write("a.log", log + &honest("198.51.100.7", 40));
    let (decisions, plan) = (world.files.path("decisions.json"), world.files.path("plan.json"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().current_dir(workspace());
    command.args(["review", &log, "--target", "prod", "--at", AT, "--by", "kim"]);
    command.args(["--decisions", &decisions, "--out", &plan]);
    command.env("PORTCULLIS_CONFIG", &world.configuration);
    command.envs(DUMMY_CREDENTIALS);
    let served = Served::start(command);
    assert_eq!(served.post("/decide", "act=reject+203.0.113.10&note=our+own+test").status, 303);
    assert_eq!(served.post("/decide", "act=approve+203.0.113.9&duration=86400").status, 303);
    let saved = served.post("/save", "query=");
    assert_eq!(saved.status, 303);
    let cookie = served.cookie();
    let page = served.send("GET", "/plan", &[&cookie], "").body;
    let (_, command) = page.split_once("<pre tabindex=\"0\"><code>").expect("the next command");
    let command = command.split("</code>").next().expect("an end");
    let hash = command.rsplit(' ').next().expect("a hash");
    assert!(command.contains("--target prod --expect-hash"), "{command}");

    let written = std::fs::read_to_string(&decisions).expect("saved");
    let written: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(written["schema_version"], 1);
    assert_eq!(written["decisions"][0]["by"], "kim");
    assert_eq!(written["decisions"][1]["note"], "our own test");
    let applied = world.act(&["apply", &plan, "--expect-hash", hash], AT).expect_code(0);
    assert_eq!(world.held(V4), ["203.0.113.9/32".to_owned()].into());
    assert!(applied.text().contains("2025-11-05T10:00:00"), "a day: {}", applied.text());
    // The next review goes on from what was decided.
    let plan = ["plan", &log, "--target", "prod", "--at", AT, "--decisions", &decisions];
    let again = world.run(&plan).run().expect_code(0).text();
    assert!(again.contains("rejected in review by kim: our own test"), "{again}");
    let end = served.post("/finish", "");
    assert!(end.body.contains("The review has ended"), "{}", end.body);
}

#[test]
fn of_two_reviews_that_save_to_one_file_the_second_gives_way() {
    let files = Files::new();
    let (first, second) = (Served::of(&files, DATASET), Served::of(&files, DATASET));
    assert_eq!(first.post("/decide", "act=approve+198.18.30.9").status, 303);
    assert_eq!(second.post("/decide", "act=reject+198.18.30.9").status, 303);
    let both: Vec<u16> = std::thread::scope(|scope| {
        let saves = [&first, &second].map(|served| scope.spawn(|| served.post("/save", "").status));
        saves.map(|save| save.join().expect("it does not panic")).into()
    });
    let winner = both.iter().position(|status| *status == 303).expect("one saves");
    assert_eq!(both[1 - winner], 409, "and one only");
    let written = std::fs::read_to_string(files.path("decisions.json")).expect("saved");
    let written: Value = serde_json::from_str(&written).expect("one whole file");
    assert_eq!(written["decisions"][0]["decision"], ["approve", "reject"][winner]);
    // Who saved may save again, and the other one still may not.
    let served = [&first, &second];
    assert_eq!(served[winner].post("/save", "").status, 303);
    let refused = served[1 - winner].post("/save", "");
    assert!(refused.body.contains("somebody else has changed it"), "{}", refused.body);
    // A plan is only finished with when it is saved.
    assert_eq!(served[1 - winner].post("/finish", "").status, 400);
    assert_eq!(served[winner].post("/finish", "").status, 200);
}

#[test]
fn pages_have_a_size_whatever_the_number_of_sources() {
    let files = Files::new();
    let log: String = (0..3_000_u32)
        .map(|n| {
            let [_, _, high, low] = n.to_be_bytes();
            attacks(&format!("198.18.{high}.{low}"), 1)
        })
        .collect();
    let log = files.write("crowd.log", log);
    let served = Served::of(&files, &log);
    let cookie = served.cookie();
    for path in ["/sources", "/sources?sort=last&page=60", "/plan", "/source/198.18.1.7"] {
        let answer = served.send("GET", path, &[&cookie], "");
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.len() < 200_000, "{path}: {} bytes", answer.body.len());
    }
    let last = served.send("GET", "/sources?page=9999", &[&cookie], "").body;
    assert!(last.contains("page 60 of 60"), "a page beyond the last is the last");
}

#[test]
fn one_source_is_told_on_the_terminal() {
    let source = "198.18.30.83";
    let told = portcullis(["review", DATASET, "--source", source, "--at", DAY]).run();
    let told = told.expect_code(0).text();
    let explained = portcullis(["explain", source, DATASET]).run().expect_code(0).text();
    let account = explained.split("\nNot seen").next().expect("the account");
    assert!(told.starts_with(account), "what explain says stands first:\n{told}");
    for part in ["May have worked", "Status", "User agents", "Similar sources", "same /24"] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
    assert!(told.contains("To be blocked in portcullis-v4."), "{told}");
    let ran = portcullis(["review", DATASET, "--source", "192.0.2.1"]).run().expect_code(1);
    assert!(ran.stderr.contains("none of 10,764 requests came from it"), "{}", ran.stderr);
    portcullis(["review", DATASET, "--source", "nonsense"]).run().expect_code(64);
}
