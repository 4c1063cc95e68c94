//! Listing and reading a bucket, on a strict stand-in for S3 and on its worst days.

use std::future::Future;
use std::io::Read as _;
use std::sync::mpsc;
use std::time::Duration;

use fake_aws::{FakeAws, Faults};
use portcullis_aws::objects::{Bucket, Location, Prefetch, Room, Span};
use portcullis_aws::{Connection, Keys, Options};
use portcullis_ingest::Timestamp;
use tokio::runtime::Handle;

/// A runtime on a thread of its own, as the program has one.
struct Network {
    handle: Handle,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Network {
    fn new() -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (sender, handle) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime starts");
            sender.send(runtime.handle().clone()).expect("somebody waits");
            let _ = runtime.block_on(stopped);
        });
        let handle = handle.recv().expect("the runtime started");
        Self { handle, stop: Some(stop), thread: Some(thread) }
    }

    fn run<Output: Send + 'static>(
        &self,
        future: impl Future<Output = Output> + Send + 'static,
    ) -> Output {
        let (sender, output) = mpsc::channel();
        self.handle.spawn(async move {
            let _ = sender.send(future.await);
        });
        output.recv().expect("the task ends")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn bucket(network: &Network, fake: &FakeAws) -> Bucket {
    let url = fake.url();
    network.run(async move {
        let keys = Keys { id: "AKIAEXAMPLE".to_owned(), secret: "secret".to_owned() };
        let options = Options {
            region: Some("eu-west-1".to_owned()),
            endpoint_url: Some(url),
            keys: Some(keys),
            path_style: true,
            timeout: Duration::from_secs(5),
            ..Options::default()
        };
        Bucket::new(&Connection::open(&options).await, "logs", false)
    })
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text.as_bytes()).expect("a time")
}

/// A bucket with one object an hour of three days, written in the hour after.
fn three_days() -> FakeAws {
    let fake = FakeAws::start(fake_aws::Options { page_size: 7, ..fake_aws::Options::default() });
    fake.create_bucket("logs");
    for day in 20..23 {
        for hour in 0..24 {
            let key =
                format!("api/2026/11/{day}/{hour:02}/stream-1-2026-11-{day}-{hour:02}-05-00-x");
            fake.put_object("logs", &key, key.as_bytes());
            let written = at(&format!("2026-11-{day}T{hour:02}:10:00Z")).epoch_seconds();
            fake.date_object("logs", &key, written.cast_unsigned());
        }
    }
    fake
}

fn list(
    network: &Network,
    bucket: &Bucket,
    prefix: &str,
    span: Span,
) -> portcullis_aws::objects::Listing {
    let (bucket, prefix) = (bucket.clone(), prefix.to_owned());
    network.run(async move { bucket.list(&prefix, span).await }).expect("the list is complete")
}

#[test]
fn a_location_is_a_bucket_and_a_prefix() {
    let location = |bucket: &str, prefix: &str| {
        Some(Location { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    };
    assert_eq!(Location::parse("s3://logs/a/b"), location("logs", "a/b"));
    assert_eq!(Location::parse("s3://logs"), location("logs", ""));
    assert_eq!(Location::parse("s3://evil@host/x"), None);
    assert_eq!(Location::parse("logs/a"), None);
}

#[test]
fn every_object_is_listed_once_and_by_key() {
    let (fake, network) = (three_days(), Network::new());
    let listing = list(&network, &bucket(&network, &fake), "api/", Span::default());
    assert_eq!(listing.objects.len(), 72);
    assert!(listing.objects.is_sorted());
    let first = &listing.objects[0];
    assert_eq!(
        (first.size, first.modified),
        (first.key.len() as u64, Some(at("2026-11-20T00:10:00Z")))
    );
}

#[test]
fn a_span_leaves_out_what_was_written_before_and_does_not_list_far_folders() {
    let (fake, network) = (three_days(), Network::new());
    let bucket = bucket(&network, &fake);
    let span = Span { from: Some(at("2026-11-22T18:00:00Z")), to: None };
    let listing = list(&network, &bucket, "api/", span);
    let keys: Vec<_> = listing.objects.iter().map(|object| &object.key[..17]).collect();
    assert_eq!(keys.len(), 6);
    assert_eq!((keys[0], keys[5]), ("api/2026/11/22/18", "api/2026/11/22/23"));
    assert!(listing.folders_passed_over >= 2, "{listing:?}");
    let whole = list(&network, &bucket, "api/", Span::default());
    assert!(listing.calls < whole.calls, "{} of {}", listing.calls, whole.calls);
}

#[test]
fn many_folders_without_a_date_are_listed_in_one_row() {
    let (fake, network) = (FakeAws::start(fake_aws::Options::default()), Network::new());
    fake.create_bucket("logs");
    for number in 0..1_000 {
        fake.put_object("logs", &format!("api/{number:08x}q/one/two/object"), b"x");
    }
    let listing = list(&network, &bucket(&network, &fake), "api/", Span::default());
    assert_eq!(listing.objects.len(), 1_000);
}

#[test]
fn a_missing_bucket_is_named_with_its_fix() {
    let (fake, network) = (FakeAws::start(fake_aws::Options::default()), Network::new());
    let bucket = bucket(&network, &fake);
    let error = network.run(async move { bucket.list("api/", Span::default()).await });
    let error = error.expect_err("there is no bucket");
    assert_eq!(error.place, "s3://logs/api/");
    assert_eq!(error.fix.as_deref(), Some("check the bucket's name"));
}

/// Content that tells where it is from, byte by byte.
fn content(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 + number * 7 + place / 251) as u8).collect()
}

#[test]
fn objects_are_read_whole_in_order_within_little_room() {
    let (fake, network) = (FakeAws::start(fake_aws::Options::default()), Network::new());
    fake.create_bucket("logs");
    let length = |number: usize| if number == 3 { 20 << 20 } else { 1 + number * 1_000 };
    for number in 0..40 {
        fake.put_object("logs", &format!("{number:02}"), &content(number, length(number)));
    }
    let bucket = bucket(&network, &fake);
    let listing = list(&network, &bucket, "", Span::default());
    let room = Room { bytes: 1 << 20, objects: 3 };
    let prefetch = Prefetch::start(bucket, listing.objects, room, &network.handle);
    for number in 0..40 {
        let mut read = Vec::new();
        prefetch.open(number).read_to_end(&mut read).expect("it is read");
        assert!(read == content(number, length(number)), "object {number}");
    }
    let mut again = Vec::new();
    prefetch.open(5).read_to_end(&mut again).expect("it is read again");
    assert!(again == content(5, length(5)));
}

#[test]
fn whatever_the_connection_does_an_object_is_whole_or_an_error() {
    let faults = Faults {
        throttle: 150,
        broken: 50,
        reset_before: 50,
        reset_after: 50,
        short_body: 200,
        slow: 20,
        slowness: Duration::from_millis(5),
        ..Faults::default()
    };
    let options = fake_aws::Options { faults, page_size: 50, ..fake_aws::Options::default() };
    let (fake, network) = (FakeAws::start(options), Network::new());
    fake.create_bucket("logs");
    for number in 0..60 {
        fake.put_object("logs", &format!("{number:02}"), &content(number, 1 + number * 3_000));
    }
    let bucket = bucket(&network, &fake);
    let listing = list(&network, &bucket, "", Span::default());
    assert_eq!(listing.objects.len(), 60);
    let prefetch = Prefetch::start(bucket, listing.objects, Room::default(), &network.handle);
    for number in 0..60 {
        let mut read = Vec::new();
        prefetch.open(number).read_to_end(&mut read).expect("it is read in the end");
        assert!(read == content(number, 1 + number * 3_000), "object {number}");
    }
    let (calls, injected) = fake.figures();
    assert!(injected > 20, "{injected} faults in {calls} calls");
}

#[test]
fn an_object_deleted_or_replaced_since_it_was_listed_is_an_error() {
    let (fake, network) = (FakeAws::start(fake_aws::Options::default()), Network::new());
    fake.create_bucket("logs");
    for key in ["a", "b", "c"] {
        fake.put_object("logs", key, key.as_bytes());
    }
    let bucket = bucket(&network, &fake);
    let listing = list(&network, &bucket, "", Span::default());
    fake.delete_object("logs", "a");
    fake.put_object("logs", "b", b"another");
    let prefetch = Prefetch::start(bucket, listing.objects, Room::default(), &network.handle);
    let read = |index| {
        let mut text = String::new();
        prefetch.open(index).read_to_string(&mut text).map(|_| text).map_err(|e| e.to_string())
    };
    assert!(read(0).expect_err("it is gone").contains("deleted after it was listed"));
    assert!(read(1).expect_err("it is another").contains("replaced after it was listed"));
    assert_eq!(read(2).as_deref(), Ok("c"));
}
