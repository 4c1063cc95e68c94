//! `watch`: objects are read when a queue tells of them, and messages go when that is safe.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use fake_aws::{ACCOUNT, FakeAws, Hold};
use serde_json::{Value, json};

use crate::support::{Ran, attacks, gzip, honest};
use crate::target::{V4, World};

const QUEUE: &str = "new-objects";

/// A target, a bucket of logs, and a queue that is told of its objects.
pub fn world() -> World {
    let world = World::with("enforce", "");
    let text = std::fs::read_to_string(&world.configuration).expect("it was written");
    let url = world.fake.url();
    let source = format!(
        "[source]\nlocation = \"s3://logs/api/\"\nstate = \"s3://state/history\"\n\
         region = \"eu-west-1\"\nendpoint-url = \"{url}\"\nqueue = \"{url}/{ACCOUNT}/{QUEUE}\"\n"
    );
    world.files.write("portcullis.toml", text.replace("[[target]]", &(source + "[[target]]")));
    world.fake.create_bucket("logs");
    world.fake.create_bucket("state");
    world.fake.create_queue(QUEUE, 3);
    world
}

/// Puts an object, and tells of it in one of the shapes, by turns.
pub fn put(fake: &FakeAws, n: usize, text: &str) {
    let (key, content) = (format!("api/part {n}+.gz"), gzip(text.as_bytes()));
    fake.put_object("logs", &key, &content);
    let tag = fake.etag("logs", &key).expect("it is there");
    fake.send(QUEUE, &notice(n, &key, content.len(), &tag));
}

pub fn notice(shape: usize, key: &str, size: usize, tag: &str) -> String {
    let tag = tag.trim_matches('"');
    let encoded = key.replace('+', "%2B").replace(' ', "+");
    let time = "2030-01-01T00:00:00.000Z";
    let direct = json!({"Records": [{
        "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": time,
        "s3": {"bucket": {"name": "logs"}, "object": {"key": encoded, "size": size, "eTag": tag}},
    }]});
    let bridge = json!({
        "source": "aws.s3", "detail-type": "Object Created", "time": time,
        "detail": {"bucket": {"name": "logs"}, "object": {"key": key, "size": size, "etag": tag}},
    });
    match shape % 3 {
        0 => direct.to_string(),
        1 => json!({"Type": "Notification", "Message": direct.to_string()}).to_string(),
        _ => bridge.to_string(),
    }
}

/// While the tests' traffic is fresh, so that the brakes have nothing against it.
pub const AT: &str = "2025-11-04T09:20:00Z";

const WATCH: [&str; 5] = ["watch", "--at", AT, "-o", "json"];

fn until_idle(world: &World, more: &[&str]) -> Ran {
    world.run(&[&WATCH[..], &["--until-idle", "1s"], more].concat()).run()
}

fn messages(world: &World) -> usize {
    world.fake.queue(QUEUE).0
}

/// What a scan of everything counts, to hold others against.
fn counted(world: &World) -> (Value, Value) {
    let scan = ["scan", "s3://logs/api/", "-o", "json", "--region", "eu-west-1"];
    let url = world.fake.url();
    let ran = world.run(&[&scan[..], &["--endpoint-url", &url]].concat()).run();
    let scan = ran.expect_code(0).json();
    (scan["coverage"]["requests"].clone(), scan["offenders"].as_array().map(Vec::len).into())
}

fn last(ran: &Ran) -> Value {
    let text = ran.text();
    let mut rounds = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rounds.rfind(|round| !round["analysis"].is_null()).expect("a round that read")
}

#[test]
fn objects_are_read_when_they_are_told_and_their_clients_blocked() {
    let world = world();
    world.fake.send(QUEUE, r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"logs"}"#);
    put(&world.fake, 0, &honest("198.51.100.7", 40));
    let mut watch = start(&world);
    for n in 1..4 {
        put(&world.fake, n, &attacks(&format!("203.0.113.{n}"), 5));
        let (begun, network) = (Instant::now(), format!("203.0.113.{n}/32"));
        while !world.held(V4).contains(&network) {
            assert!(begun.elapsed() < Duration::from_mins(1), "{network} is not blocked");
            assert!(watch.try_wait().expect("a process").is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let begun = Instant::now();
    while messages(&world) > 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "messages are left");
        std::thread::sleep(Duration::from_millis(20));
    }
    end(&mut watch);
}

#[test]
fn a_message_goes_when_its_object_is_saved_and_not_before() {
    let world = world();
    put(&world.fake, 0, &attacks("203.0.113.9", 5));
    // Each call in turn is the last one of a run.
    let mut killed = 0;
    for number in 1..200 {
        let held = world.fake.hold(number, Hold::After);
        let mut watch = start(&world);
        let reached = held.wait(Duration::from_secs(8));
        watch.kill().expect("it is killed");
        watch.wait().expect("it ended");
        drop(held);
        world.fake.forget_hold();
        let Some(call) = reached else { break };
        let saved = world.fake.object("state", "history").is_some();
        assert!(saved || messages(&world) == 1, "after {call} the message is gone, unread");
        killed += 1;
        if messages(&world) == 0 {
            break;
        }
        world.fake.show_messages(QUEUE);
        world.fake.delete_object("state", "history.run");
    }
    assert!(killed > 5, "{killed} calls were the last one");
    assert_eq!(messages(&world), 0);
    // The locks of the killed runs are over in two minutes, and nobody waits for that here.
    world.fake.delete_object("state", "history.run");
    let ran = until_idle(&world, &["--take-lease"]).expect_code(0);
    assert_eq!(last(&ran)["analysis"]["requests"], 5);
}

#[test]
fn what_cannot_be_understood_is_named_and_moved_aside_by_the_queue() {
    let world = world();
    world.fake.send(QUEUE, "shopping list");
    world.fake.send(QUEUE, &notice(0, "api/never-there.gz", 17, "0123"));
    world.fake.send(QUEUE, &notice(1, "elsewhere/object.gz", 17, "0123"));
    put(&world.fake, 0, &attacks("203.0.113.9", 5));
    let arguments = ["--visibility", "1s", "--deliveries", "2"];
    let ran = world.run(&[&WATCH[..], &["--until-idle", "4s"], &arguments].concat()).run();
    assert!(ran.stderr.contains("outside of the location"), "{}", ran.stderr);
    assert!(ran.stderr.contains("is set aside: it is no JSON"), "{}", ran.stderr);
    assert!(ran.stderr.contains("never-there.gz` cannot be read"), "{}", ran.stderr);
    let (left, aside) = world.fake.queue(QUEUE);
    assert_eq!(left, 0, "{aside:?}");
    assert_eq!(aside.len(), 2, "{aside:?}");
    assert!(world.held(V4).contains("203.0.113.9/32"));
}

#[test]
fn lost_and_repeated_messages_and_runs_at_once_miscount_nothing() {
    let world = world();
    for n in 0..12 {
        put(&world.fake, n, &attacks(&format!("203.0.113.{n}"), 5));
        if n % 4 == 0 {
            // One that is told of twice, and one of which nobody is told.
            put(&world.fake, n, &attacks(&format!("203.0.113.{n}"), 5));
            let content = gzip(attacks(&format!("192.0.2.{n}"), 5).as_bytes());
            world.fake.put_object("logs", &format!("api/untold-{n}"), &content);
        }
    }
    let mut others: Vec<Child> =
        (0..2).map(|_| world.command(&["run", "--at", AT]).spawn().expect("it starts")).collect();
    let ran = until_idle(&world, &[]).expect_code(0);
    for other in &mut others {
        let code = other.wait().expect("it ends").code();
        assert!(matches!(code, Some(0 | 1 | 4 | 6)), "{code:?}");
    }
    assert_eq!(messages(&world), 0, "{}", ran.stderr);
    let ran = until_idle(&world, &[]).expect_code(0);
    let analysis = last(&ran)["analysis"].clone();
    assert_eq!(analysis["objects_read"], 0);
    assert_eq!((analysis["requests"].clone(), analysis["offenders"].clone()), counted(&world));
}

fn start(world: &World) -> Child {
    world.command(&WATCH).spawn().expect("the program starts")
}

fn end(watch: &mut Child) {
    let told = Command::new("kill").args(["-TERM", &watch.id().to_string()]).status();
    assert!(told.expect("there is `kill`").success());
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = watch.try_wait().expect("a process") {
            break status.code();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(0));
}
