//! `ledger rebuild` on a fake AWS: what is ours is found again, and nothing else, wherever
//! the ledger was kept.

use std::fs;
use std::time::Duration;

use fake_aws::Hold;
use serde_json::{Value, json};

use crate::support::attacks;
use crate::target::{AT, REGION, V4, V6, World, networks};

const FOREIGN: &str = "192.0.2.0/24";
const BUCKET: &str = "ledgers";

/// Where a ledger and its account are kept, for a test that goes behind the program's back.
#[derive(Debug, Clone, Copy)]
enum Place {
    Directory,
    S3,
}

impl Place {
    const ALL: [Self; 2] = [Self::Directory, Self::S3];

    /// What holds the ledger.
    fn ledger(self) -> &'static str {
        match self {
            Self::Directory => "ledger/ledger.json",
            Self::S3 => "prod/ledger.json",
        }
    }

    /// What holds the account: one file, or one object for each line.
    fn account(self, world: &World) -> Vec<String> {
        match self {
            Self::Directory => vec!["ledger/audit.jsonl".to_owned()],
            Self::S3 => {
                let keys = world.fake.keys(BUCKET).into_iter();
                keys.filter(|key| key.starts_with("prod/audit/")).collect()
            }
        }
    }

    fn read(self, world: &World, name: &str) -> Option<Vec<u8>> {
        match self {
            Self::Directory => fs::read(world.files.path(name)).ok(),
            Self::S3 => world.fake.object(BUCKET, name),
        }
    }

    fn write(self, world: &World, name: &str, content: &[u8]) {
        match self {
            Self::Directory => {
                world.files.write(name, content);
            }
            Self::S3 => world.fake.put_object(BUCKET, name, content),
        }
    }

    fn delete(self, world: &World, name: &str) {
        assert!(self.read(world, name).is_some(), "{name} is not there");
        match self {
            Self::Directory => fs::remove_file(world.files.path(name)).expect("it is there"),
            Self::S3 => world.fake.delete_object(BUCKET, name),
        }
    }
}

/// A target with a block of either family beside an entry of somebody else, and the file
/// of the plan that made them.
fn blocking(place: Place) -> (World, String) {
    let world = World::new("enforce");
    if let Place::S3 = place {
        let text = fs::read_to_string(&world.configuration).expect("the configuration");
        let on_s3 = text.replace("\"ledger\"", &format!("\"s3://{BUCKET}/prod\""));
        fs::write(&world.configuration, on_s3).expect("written");
    }
    world.fake.edit(REGION, "REGIONAL", V4, &[FOREIGN], &[]);
    let text = attacks("203.0.113.9", 20) + &attacks("2001:db8:1:2::17", 20);
    let log = world.files.write("a.log", text);
    let (plan, _) = world.plan(&log, AT);
    world.act(&["apply", &plan], AT).expect_code(0);
    assert_eq!(world.held(V4).len(), 2);
    assert!(place.read(&world, place.ledger()).is_some());
    (world, plan)
}

fn rebuild(world: &World, more: &[&str]) -> Value {
    world.act(&[&["ledger", "rebuild"], more].concat(), AT).expect_code(0).json()
}

fn release_all(world: &World) {
    world.act(&["release-all"], AT).expect_code(0);
    assert_eq!(world.held(V4), [FOREIGN.to_owned()].into());
    assert!(world.held(V6).is_empty());
    let verified = world.run(&["audit", "verify"]).run().expect_code(0).text();
    assert!(verified.starts_with("whole: "), "{verified}");
}

#[test]
fn a_lost_ledger_is_made_anew_and_everything_of_ours_can_leave() {
    for place in Place::ALL {
        let (world, plan) = blocking(place);
        place.delete(&world, place.ledger());
        // Without a ledger nothing is known to be ours: nothing leaves and nothing comes, and
        // no new one is written, which would be in the way of the one made anew.
        let account = place.account(&world);
        for command in [
            &["expire"][..],
            &["release-all"],
            &["release-all", "--dry-run"],
            &["status"],
            &["apply", &plan],
        ] {
            let ran = world.act(command, AT).expect_code(1);
            assert!(ran.stderr.contains("the ledger is lost"), "{command:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("portcullis ledger rebuild --target"), "{}", ran.stderr);
            assert_eq!(place.read(&world, place.ledger()), None, "{command:?}");
        }
        assert_eq!((world.held(V4).len(), place.account(&world)), (2, account));

        let tried = rebuild(&world, &["--dry-run"]);
        assert_eq!(networks(&tried["ours"]), ["2001:db8:1:2::/64", "203.0.113.9/32"]);
        assert_eq!(place.read(&world, place.ledger()), None);
        let rebuilt = rebuild(&world, &[]);
        assert_eq!(rebuilt["ours"], tried["ours"]);
        assert_eq!(rebuilt["unclaimed"], json!([{"set": V4, "networks": [FOREIGN]}]));
        release_all(&world);
    }
}

#[test]
fn a_plan_that_was_applied_stands_in_for_a_lost_account() {
    for place in Place::ALL {
        let (world, plan) = blocking(place);
        place.delete(&world, place.ledger());
        for part in place.account(&world) {
            place.delete(&world, &part);
        }
        let nothing = rebuild(&world, &["--dry-run"]);
        assert_eq!(nothing["ours"], json!([]));
        let text = fs::read_to_string(&plan).expect("the plan");
        let altered = world.files.write("altered.json", text.replace("203.0.113.9", "192.0.2.0"));
        let ran = world.act(&["ledger", "rebuild", "--plan", &altered], AT).expect_code(5);
        assert!(ran.stderr.contains("altered"), "{}", ran.stderr);
        let rebuilt = rebuild(&world, &["--plan", &plan]);
        assert_eq!(networks(&rebuilt["ours"]), ["2001:db8:1:2::/64", "203.0.113.9/32"]);
        release_all(&world);
    }
}

#[test]
fn a_ledger_that_is_there_is_never_written_over() {
    for place in Place::ALL {
        let (world, _) = blocking(place);
        let whole = place.read(&world, place.ledger()).expect("the ledger");
        for (text, says) in [(&whole[..], "it can be read"), (b"{\"schema", "move it aside")] {
            place.write(&world, place.ledger(), text);
            let ran = world.act(&["ledger", "rebuild"], AT).expect_code(1);
            assert!(ran.stderr.contains(says), "{}", ran.stderr);
            assert_eq!(place.read(&world, place.ledger()).as_deref(), Some(text));
            if says == "move it aside" {
                let ran = world.act(&["expire"], AT).expect_code(1);
                assert!(ran.stderr.contains("move it aside and run"), "{}", ran.stderr);
            }
        }
        place.delete(&world, place.ledger());
        rebuild(&world, &[]);
        release_all(&world);
    }
}

#[test]
fn of_two_that_make_it_anew_at_once_the_later_gives_way() {
    let (world, _) = blocking(Place::S3);
    let key = Place::S3.ledger();
    let theirs = Place::S3.read(&world, key).expect("the ledger");
    Place::S3.delete(&world, key);
    // To save is one call more than to try, and the last.
    let (before, _) = world.fake.figures();
    rebuild(&world, &["--dry-run"]);
    let (tried, _) = world.fake.figures();
    let held = world.fake.hold(tried - before + 1, Hold::Late);
    let ran = std::thread::scope(|scope| {
        let rebuilding = scope.spawn(|| world.act(&["ledger", "rebuild"], AT));
        let call = held.wait(Duration::from_mins(1)).expect("it saves");
        assert_eq!(call, format!("PUT /{BUCKET}/{key}"));
        world.fake.put_object(BUCKET, key, &theirs);
        drop(held);
        rebuilding.join().expect("it ends")
    });
    let ran = ran.expect_code(6);
    assert!(ran.stderr.contains("another run has saved one meanwhile"), "{}", ran.stderr);
    assert_eq!(Place::S3.read(&world, key), Some(theirs));
}

#[test]
fn an_account_that_was_altered_and_the_kill_switch_stop_it() {
    for place in Place::ALL {
        let (world, _) = blocking(place);
        place.delete(&world, place.ledger());
        world.act(&["ledger", "rebuild", "--halt", "shop is down"], AT).expect_code(4);
        let part = place.account(&world).into_iter().find_map(|part| {
            let text = String::from_utf8(place.read(&world, &part)?).expect("text");
            text.contains("203.0.113.9/32").then_some((part, text))
        });
        let (part, text) = part.expect("a line about the block");
        let altered = text.replace("203.0.113.9/32", FOREIGN);
        place.write(&world, &part, altered.as_bytes());
        let ran = world.act(&["ledger", "rebuild"], AT).expect_code(1);
        assert!(ran.stderr.contains("audit line"), "{}", ran.stderr);
        assert_eq!(place.read(&world, place.ledger()), None);
    }
}

#[test]
fn an_account_of_which_an_object_is_gone_stops_it_too() {
    let (world, _) = blocking(Place::S3);
    Place::S3.delete(&world, Place::S3.ledger());
    Place::S3.delete(&world, &Place::S3.account(&world)[0]);
    let ran = world.act(&["ledger", "rebuild"], AT).expect_code(1);
    assert!(ran.stderr.contains("audit line"), "{}", ran.stderr);
    assert_eq!(Place::S3.read(&world, Place::S3.ledger()), None);
}
