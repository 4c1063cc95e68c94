//! Files that a command writes because an option names them: what stands there already is
//! replaced whole, and never by something else than it was.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{Files, Ran, Record, portcullis, workspace};

const DATASET: &str = "datasets/firehose/recommended";
const AT: &str = "2026-03-02T12:00:00Z";

fn report(to: &str) -> Ran {
    portcullis(["report", DATASET, "-o", to, "--at", AT, "--quiet"]).run()
}

fn plan(to: &str) -> Ran {
    portcullis(["plan", DATASET, "--out", to, "--at", AT, "--quiet"]).run()
}

/// Makes a node of the file system; says why when the system refuses.
fn node(program: &str, arguments: &[&str]) -> Result<(), String> {
    let made = Command::new(program).args(arguments).output().expect("coreutils are there");
    if made.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&made.stderr).into_owned())
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

#[test]
fn a_pipe_is_written_to_and_stays_a_pipe() {
    let files = Files::new();
    let pipe = files.path("pipe");
    node("mkfifo", &[&pipe]).expect("anybody may make a pipe");
    for write in [report, plan] {
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).expect("a pipe")
        });
        write(&pipe).expect_code(0);
        assert!(fs::metadata(&pipe).expect("it is there").file_type().is_fifo());
        assert!(reader.join().expect("the reader does not panic").len() > 1000);
    }
    assert_eq!(names(files.root()), ["pipe"]);
}

#[test]
fn a_device_is_written_to_and_stays_a_device() {
    let files = Files::new();
    let device = files.path("null");
    // A node of its own: this must never be tried on the one in /dev.
    let made = node("mknod", &["-m", "666", &device, "c", "1", "3"]);
    if let Err(refused) = made.and_then(|()| fs::write(&device, "x").map_err(|e| e.to_string())) {
        println!("not tested: no device can be made or opened here: {refused}");
        return;
    }
    for write in [report, plan] {
        write(&device).expect_code(0);
        assert!(fs::metadata(&device).expect("it is there").file_type().is_char_device());
    }
    assert_eq!(names(files.root()), ["null"]);
}

#[test]
fn a_link_is_followed_to_what_it_names() {
    let files = Files::new();
    let target = files.write("elsewhere/page.html", "earlier");
    for (link, to) in [("first", "second"), ("second", "elsewhere/page.html")] {
        symlink(to, files.root().join(link)).expect("linked");
    }
    report(&files.path("first")).expect_code(0);
    assert!(fs::read_to_string(target).expect("it is there").contains("<html"));
    for link in ["first", "second"] {
        assert!(fs::symlink_metadata(files.root().join(link)).expect("there").is_symlink());
    }
    assert_eq!(names(files.root()), ["elsewhere", "first", "second"]);
    assert_eq!(names(&files.root().join("elsewhere")), ["page.html"]);

    // What it names need not be there yet.
    symlink("elsewhere/plan.json", files.root().join("new")).expect("linked");
    plan(&files.path("new")).expect_code(0);
    assert_eq!(names(&files.root().join("elsewhere")), ["page.html", "plan.json"]);

    symlink("round", files.root().join("round")).expect("linked");
    report(&files.path("round")).expect_code(1);
}

#[test]
fn a_file_keeps_its_mode_and_a_new_one_has_the_usual() {
    let files = Files::new();
    let mode = |path: &str| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let usual = mode(&files.write("usual", ""));
    for kept in [0o600, 0o640, 0o664] {
        let page = files.write("page.html", "earlier");
        fs::set_permissions(&page, fs::Permissions::from_mode(kept)).expect("ours");
        let before = fs::metadata(&page).expect("it is there").ino();
        report(&page).expect_code(0);
        assert_eq!(mode(&page), kept, "{kept:o}");
        assert_ne!(fs::metadata(&page).expect("it is there").ino(), before, "replaced, not cut");
    }
    let new = files.path("plan.json");
    plan(&new).expect_code(0);
    assert_eq!(mode(&new), usual);
}

#[test]
fn stdout_is_named_by_a_dash_or_its_path() {
    let files = Files::new();
    let location = workspace().join(DATASET).to_string_lossy().into_owned();
    let plan = |to: &str| {
        let arguments = ["plan", &location, "--out", to, "--at", AT, "--quiet"];
        portcullis(arguments).inside(files.root()).run().expect_code(0).text()
    };
    let shown = plan("plan.json");
    let expected = fs::read_to_string(files.path("plan.json")).expect("the plan");
    assert!(!shown.contains("\"additions\""), "a page for people: {shown}");
    for name in ["-", "/dev/stdout", "/dev/fd/1"] {
        assert_eq!(plan(name), expected, "{name}");
    }
    assert_eq!(names(files.root()), ["plan.json"]);
    for kept in [
        &["export", DATASET, "--out", "-"][..],
        &["review", DATASET, "--decisions", "-"],
        &["review", DATASET, "--out", "-"],
    ] {
        let ran = portcullis(kept).run().expect_code(64);
        assert!(ran.stderr.contains("it cannot be stdout"), "{}", ran.stderr);
    }
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let files = Files::new();
    let folder = files.path("folder");
    fs::create_dir(&folder).expect("made");
    let ran = report(&folder).expect_code(1);
    assert!(ran.stderr.contains("directory"), "{}", ran.stderr);
    assert_eq!(names(files.root()), ["folder"]);
}

#[test]
fn a_state_behind_a_link_is_kept_there_and_as_private_as_it_was() {
    let files = Files::new();
    let log = files.write("logs/a.log", Record::default().line());
    let state = files.path("state");
    let scan = || portcullis(["scan", &log, "--state", &state, "--quiet"]).run();
    symlink("kept", &state).expect("linked");
    scan();
    let kept = files.root().join("kept");
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::write(&log, Record::default().line().repeat(2)).expect("written");
    scan();
    assert!(fs::symlink_metadata(&state).expect("there").is_symlink());
    assert_eq!(fs::metadata(&kept).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(names(files.root()).iter().all(|name| !name.contains("part")));
}
