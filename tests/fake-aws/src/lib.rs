//! A small AWS for tests: WAF IP sets and S3 objects, strict, on a port of its own.
//!
//! It refuses what AWS refuses. Other stand-ins store any text as an address and any
//! number of them, so that a client that is wrong about the limits passes its tests.
//! And it fails on demand, by a seed: it throttles, breaks, hangs up before or after
//! the change was made, answers slowly or half, and shows old values.
//!
//! What AWS leaves open is answered in the least convenient way: pages are as small as
//! the test wants, IPv6 addresses come back written in full, and an update without a
//! description clears it.

mod fault;
mod hold;
mod permission;
mod s3;
mod sqs;
mod sts;
mod told;
mod waf;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;

use axum::http::HeaderValue;
use axum::http::header::DATE;
use axum::response::Response;
use tokio::sync::oneshot;

pub use fault::Faults;
pub use hold::{Held, Hold};
pub use permission::Permission;
pub use waf::IpSetRecord;

use fault::{Dice, Fault};

/// How strict, how slow and how broken it is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Seed of the faults.
    pub seed: u64,
    /// How often each fault happens.
    pub faults: Faults,
    /// Most results in one page of a list, whatever the client asks for.
    pub page_size: usize,
    /// Least time between two changes of one region, as AWS has one second; sooner ones
    /// are throttled.
    pub least_between_updates: Duration,
}

impl Default for Options {
    /// No faults, pages of one, and no limit on the rate of updates.
    fn default() -> Self {
        Self {
            seed: 1,
            faults: Faults::default(),
            page_size: 1,
            least_between_updates: Duration::ZERO,
        }
    }
}

/// What the server holds.
#[derive(Debug, Default)]
struct World {
    waf: waf::Waf,
    s3: s3::S3,
    sqs: sqs::Sqs,
    told: told::Told,
    calls: u64,
    injected: u64,
    hold: Option<hold::Order>,
    /// By the key of the caller.
    needed: BTreeMap<String, BTreeSet<Permission>>,
    calls_by_action: BTreeMap<String, u64>,
    /// Answers that a test gives, by call.
    replies: BTreeMap<String, (u16, String)>,
    /// What S3 says the date is, if it is not the machine's.
    date: Option<String>,
}

struct Shared {
    options: Mutex<Options>,
    world: Mutex<World>,
    dice: Mutex<Dice>,
}

/// A running server; it stops when this is dropped.
pub struct FakeAws {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The account that every set belongs to.
pub const ACCOUNT: &str = "111122223333";

impl FakeAws {
    /// Starts a server on a free port of the loopback interface.
    pub fn start(options: Options) -> Self {
        let shared = Arc::new(Shared {
            options: Mutex::new(options),
            world: Mutex::default(),
            dice: Mutex::new(Dice::new(options.seed)),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(async move {
                let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
                let listener = listener.expect("a port is free");
                tell.send(listener.local_addr().expect("it is bound")).expect("it is awaited");
                let router = Router::new().fallback(answer).with_state(state);
                let until = async {
                    let _ = stopped.await;
                };
                tokio::select! {
                    served = axum::serve(listener, router).into_future() => {
                        served.expect("the server runs");
                    }
                    () = until => {}
                }
            });
        });
        let address = told.recv().expect("the server starts");
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens, such as `http://127.0.0.1:49152`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        locked(&self.shared.options).faults = faults;
    }

    /// Changes the least time between two updates from now on.
    pub fn set_least_between_updates(&self, least: Duration) {
        locked(&self.shared.options).least_between_updates = least;
    }

    /// Makes an IP set without asking the API. `scope` and `version` as the API names
    /// them: `REGIONAL`, `IPV4`.
    pub fn create_ip_set(&self, region: &str, scope: &str, name: &str, version: &str) {
        let mut world = locked(&self.shared.world);
        let made = world.waf.create(region, scope, name, version, Some("made by a test"), &[]);
        made.expect("the test makes a valid set");
    }

    /// The set as it is.
    pub fn ip_set(&self, region: &str, scope: &str, name: &str) -> Option<IpSetRecord> {
        locked(&self.shared.world).waf.find(region, scope, name).cloned()
    }

    /// Adds and removes entries as another client would, whatever happens meanwhile.
    pub fn edit(&self, region: &str, scope: &str, name: &str, add: &[&str], remove: &[&str]) {
        let mut world = locked(&self.shared.world);
        world
            .waf
            .edit(region, scope, name, add, remove)
            .expect("the test edits a set that is there");
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, bucket: &str) {
        locked(&self.shared.world).s3.create_bucket(bucket);
    }

    /// Refuses whoever does not say that the caller pays for the bucket.
    pub fn let_callers_pay(&self, bucket: &str) {
        locked(&self.shared.world).s3.let_callers_pay(bucket);
    }

    /// Puts an object without asking the API.
    pub fn put_object(&self, bucket: &str, key: &str, content: &[u8]) {
        locked(&self.shared.world).s3.store(bucket, key, content.to_vec());
    }

    /// Changes when an object was written, in seconds since 1970.
    pub fn date_object(&self, bucket: &str, key: &str, epoch_seconds: u64) {
        locked(&self.shared.world).s3.date(bucket, key, epoch_seconds);
    }

    /// Lets S3 say that it is this time, in the form that HTTP gives dates; `None` is the
    /// machine's.
    pub fn tell_date(&self, date: Option<&str>) {
        locked(&self.shared.world).date = date.map(str::to_owned);
    }

    /// Deletes an object without asking the API.
    pub fn delete_object(&self, bucket: &str, key: &str) {
        locked(&self.shared.world).s3.delete(bucket, key);
    }

    /// Writes an object as soon as the next page of a list was answered, so that it
    /// appears while the list is being turned.
    pub fn put_object_during_list(&self, bucket: &str, key: &str, content: &[u8]) {
        let change = s3::Change::Put(content.to_vec());
        locked(&self.shared.world).s3.change_during_list(bucket, key, change);
    }

    /// Deletes an object as soon as the next page of a list was answered: it is listed,
    /// and then it is not there.
    pub fn delete_object_during_list(&self, bucket: &str, key: &str) {
        locked(&self.shared.world).s3.change_during_list(bucket, key, s3::Change::Delete);
    }

    /// The keys of a bucket, in their order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        locked(&self.shared.world).s3.keys(bucket)
    }

    /// Makes a queue, which moves messages aside that were delivered `most_deliveries` times.
    pub fn create_queue(&self, name: &str, most_deliveries: u32) {
        locked(&self.shared.world).sqs.create(name, most_deliveries);
    }

    /// Sends a message.
    pub fn send(&self, queue: &str, body: &str) {
        locked(&self.shared.world).sqs.send(queue, body);
    }

    /// How many messages a queue holds, and which it moved aside.
    pub fn queue(&self, name: &str) -> (usize, Vec<String>) {
        locked(&self.shared.world).sqs.figures(name)
    }

    /// Shows all messages of a queue again, as if their time were over.
    pub fn show_messages(&self, queue: &str) {
        locked(&self.shared.world).sqs.show(queue);
    }

    /// What was told to people since this was last asked: bodies of webhooks, and subject
    /// and message of topics.
    pub fn take_told(&self) -> Vec<String> {
        locked(&self.shared.world).told.take()
    }

    /// The `ETag` of an object.
    pub fn etag(&self, bucket: &str, key: &str) -> Option<String> {
        locked(&self.shared.world).s3.tag(bucket, key)
    }

    /// Stops the `number`th call from now on, counted from 1, until what is returned is
    /// dropped. Only one call is stopped at a time.
    pub fn hold(&self, number: u64, hold: Hold) -> Held {
        let (stopped, order) = hold::order(number, hold);
        locked(&self.shared.world).hold = Some(order);
        stopped
    }

    /// Stops no call any more, if one that was to be stopped did not come.
    pub fn forget_hold(&self) {
        locked(&self.shared.world).hold = None;
    }

    /// The content of an object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        locked(&self.shared.world).s3.content(bucket, key).map(<[u8]>::to_vec)
    }

    /// Answers every call of this name with a status and a body from now on: for services
    /// that are read only, of which a test says what they hold. `DescribeDeliveryStream`,
    /// `GET /restapis/a1b2c3d4e5/stages/prod`, `POST /` for STS.
    pub fn reply(&self, call: &str, status: u16, body: &str) {
        locked(&self.shared.world).replies.insert(call.to_owned(), (status, body.to_owned()));
    }

    /// The permissions that the calls needed since this was last asked.
    pub fn take_permissions(&self) -> BTreeSet<Permission> {
        self.take_permissions_by_caller().into_values().flatten().collect()
    }

    /// The same for each caller: by the key it has, or by the name of the role it assumed.
    pub fn take_permissions_by_caller(&self) -> BTreeMap<String, BTreeSet<Permission>> {
        std::mem::take(&mut locked(&self.shared.world).needed)
    }

    /// How often each action was called since this was last asked, such as `s3:GetObject`.
    pub fn take_calls(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut locked(&self.shared.world).calls_by_action)
    }

    /// Calls so far, and faults among them.
    pub fn figures(&self) -> (u64, u64) {
        let world = locked(&self.shared.world);
        (world.calls, world.injected)
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn locked<Inner>(mutex: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most bytes of a request; an IP set of 10,000 IPv6 networks has less than 1 MiB.
const MAX_REQUEST: usize = 16 << 20;

/// One call: the fault first, then the service, then what is left of the answer.
async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let options = *locked(&shared.options);
    let fault = locked(&shared.dice).throw(&options.faults);
    let order = {
        let mut world = locked(&shared.world);
        world.calls += 1;
        world.injected += u64::from(fault.is_some());
        hold::is_due(&mut world.hold)
    };
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_REQUEST).await else {
        return plain(StatusCode::BAD_REQUEST, "the request ended early");
    };
    let is_waf = waf_target(&head).is_some();
    let path = head.uri.path().trim_start_matches('/');
    let is_object = !is_waf && path.split_once('/').is_some_and(|(_, key)| !key.is_empty());
    if let Some(permission) = permission::needed(&head, &body) {
        let who = scope(&head.headers, 0);
        let world = &mut locked(&shared.world);
        *world.calls_by_action.entry(permission.0.clone()).or_default() += 1;
        world.needed.entry(who).or_default().insert(permission);
    }
    if waf_target(&head) == Some("AmazonSQS.ReceiveMessage") {
        // As long as a poll of a queue takes that has nothing.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match fault {
        Some(Fault::ResetBefore) => return fault::hang_up(),
        Some(Fault::Throttle) if is_waf => return waf::throttled(),
        Some(Fault::Throttle) => return s3::slow_down(),
        Some(Fault::Broken) if is_waf => return waf::broken(),
        Some(Fault::Broken) => return s3::broken(),
        Some(Fault::Slow) => tokio::time::sleep(options.faults.slowness).await,
        _ => {}
    }
    let shows_old = matches!(fault, Some(Fault::StaleRead));
    let response = match order {
        None => serve(&shared, &head, &body, shows_old),
        Some(order) => {
            let name = call_name(&head);
            let shared = Arc::clone(&shared);
            // A task of its own: the caller may die, and the call be carried out all the
            // same.
            let task = tokio::spawn(async move {
                let serve = || serve(&shared, &head, &body, shows_old);
                order.carry_out(&name, serve).await
            });
            match task.await {
                Ok(Some(response)) => response,
                _ => return fault::hang_up(),
            }
        }
    };
    match fault {
        Some(Fault::ResetAfter) => fault::hang_up(),
        Some(Fault::BrokenAfter) if is_waf => waf::broken(),
        Some(Fault::BrokenAfter) => s3::broken(),
        Some(Fault::ShortBody) => fault::cut_short(response).await,
        Some(Fault::BitFlip) if is_object => {
            fault::flipped(response, |bits| locked(&shared.dice).below(bits)).await
        }
        _ => response,
    }
}

/// The service itself.
fn serve(shared: &Shared, head: &Parts, body: &[u8], shows_old: bool) -> Response {
    let options = *locked(&shared.options);
    let mut world = locked(&shared.world);
    if let Some(response) = sts::call(head, body).or_else(|| world.told.call(head, body)) {
        return response;
    }
    if let Some((status, body)) = world.replies.get(&call_name(head)) {
        let status = StatusCode::from_u16(*status).expect("the test gives a status");
        return plain(status, body);
    }
    match waf_target(head) {
        Some(target) if target.starts_with("AmazonSQS.") => {
            world.sqs.call(target.trim_start_matches("AmazonSQS."), body)
        }
        Some(target) => {
            let call = waf::Call {
                target,
                region: &region(&head.headers),
                body,
                page_size: options.page_size,
                least_between_updates: options.least_between_updates,
                shows_old,
            };
            world.waf.call(&call)
        }
        None => {
            let mut response = world.s3.call(head, body.to_vec(), options.page_size);
            if let Some(date) = &world.date {
                let date = HeaderValue::from_str(date).expect("the test gives a date");
                response.headers_mut().insert(DATE, date);
            }
            response
        }
    }
}

/// The operation of AWS WAF that is called, if it is one of its calls.
fn waf_target(head: &Parts) -> Option<&str> {
    head.headers.get("x-amz-target").and_then(|value| value.to_str().ok())
}

/// What is called: `UpdateIPSet`, `PUT /ledgers/prod/ledger.json`.
fn call_name(head: &Parts) -> String {
    match waf_target(head) {
        Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
        None => format!("{} {}", head.method, head.uri.path()),
    }
}

/// The region that the request was signed for.
fn region(headers: &axum::http::HeaderMap) -> String {
    scope(headers, 2)
}

/// A part of what the request was signed with: `Credential=ID/DATE/REGION/SERVICE/...`.
fn scope(headers: &axum::http::HeaderMap, part: usize) -> String {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let scope = authorization.and_then(|text| text.split("Credential=").nth(1));
    scope.and_then(|scope| scope.split('/').nth(part)).unwrap_or_default().to_owned()
}

fn plain(status: StatusCode, text: &str) -> Response {
    let response = Response::builder().status(status).body(Body::from(text.to_owned()));
    response.expect("a status and a body make a response")
}
