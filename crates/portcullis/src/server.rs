//! The door of a review's pages: who may come in, and what a browser may do with what it
//! gets.
//!
//! A server on this machine can be reached by every page that a browser on this machine
//! shows, and by every program of every user of it. So being local protects nothing, and
//! each request is asked four things before any page is made:
//!
//! - Is it addressed to us? A page of another site can have its name point here (DNS
//!   rebinding), but cannot change the `Host` that the browser then sends.
//! - Was it sent by one of our pages? Forms of other sites give themselves away by `Origin`
//!   and `Sec-Fetch-Site`, and do not know the secret that each form of ours carries.
//! - Does it come from whoever read our terminal? The key is in the printed address behind
//!   the `#`, where no server, log or referrer sees it; it is exchanged for a cookie that no
//!   script can read and no other site can have sent. Cookies do not tell ports apart, so
//!   that its name holds ours.
//! - Is it one of the few addresses there are? None of them is a path of a file.
//!
//! What pages look like and what forms do is decided in `portcullis-review`; which files are
//! written, by the caller.
//!
//! Sources: OWASP Cheat Sheets on CSRF and CSP; Fetch, "Origin header"; RFC 6265bis.

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN,
    REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use portcullis_review::{Form, MARK, Query, Review, SCRIPT, STYLES, entrance, message};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::failure::Failure;

/// Most bytes of a form. The longest field is a note of 500 characters.
const FORM_BYTES: usize = 16 << 10;

/// Random bytes of a secret: nobody guesses 128 bits.
const SECRET_BYTES: usize = 16;

/// What browsers are told about every answer.
const HEADERS: [(HeaderName, &str); 8] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src \
         'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: with it, browsers send `Origin: null` with our own forms.
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Writes what was decided.
pub type Save = Box<dyn Fn(&mut Review) -> Result<(), Failure> + Send + Sync>;

/// A review behind its door.
pub struct Server {
    listener: TcpListener,
    door: Arc<Door>,
}

struct Door {
    port: u16,
    /// What whoever read the terminal knows.
    key: String,
    /// What a browser that showed the key has.
    session: String,
    /// What our forms carry.
    csrf: String,
    review: Mutex<Review>,
    save: Save,
    finished: Notify,
}

impl Server {
    /// Opens the door at a port of this machine; 0 takes one that is free.
    pub async fn open(port: u16, review: Review, save: Save) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let door = Door {
            port: listener.local_addr()?.port(),
            key: secret()?,
            session: secret()?,
            csrf: secret()?,
            review: Mutex::new(review),
            save,
            finished: Notify::new(),
        };
        Ok(Self { listener, door: Arc::new(door) })
    }

    /// The address to open, with the key.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/#{}", self.door.port, self.door.key)
    }

    /// Serves until the review is finished or `stopped` is over. `stopped` is given how
    /// many decisions are not saved, whenever it asks.
    pub async fn serve<Stopped: Future<Output = ()> + Send>(
        self,
        stopped: impl FnOnce(Box<dyn Fn() -> usize + Send + Sync>) -> Stopped,
    ) -> io::Result<()> {
        let Self { listener, door } = self;
        let handler = Arc::clone(&door);
        let router = Router::new().fallback(move |request| {
            let door = Arc::clone(&handler);
            async move { door.answer(request).await }
        });
        let asked = Arc::clone(&door);
        let stopped = stopped(Box::new(move || asked.review().unsaved()));
        // Browsers keep connections open, and an end that waits for them never comes.
        tokio::select! {
            ended = async { axum::serve(listener, router).await } => ended,
            () = door.finished.notified() => {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                Ok(())
            }
            () = stopped => Ok(()),
        }
    }
}

impl Door {
    fn review(&self) -> MutexGuard<'_, Review> {
        self.review.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let mut response = if let Some((status, why)) = self.refusal(&parts.method, &parts.headers)
        {
            page(status, message("Refused", why))
        } else {
            let query = Query::parse(parts.uri.query().unwrap_or(""));
            let (path, knows) = (parts.uri.path(), self.knows(&parts.headers));
            match to_bytes(body, FORM_BYTES).await {
                Ok(body) if parts.method == Method::POST => {
                    self.post(path, &Form::parse(&body), knows)
                }
                Ok(_) => self.get(path, &query, knows),
                Err(_) => {
                    page(StatusCode::PAYLOAD_TOO_LARGE, message("Refused", "Too long a form."))
                }
            }
        };
        let headers = response.headers_mut();
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    /// Why a request is not looked at any further.
    fn refusal(&self, method: &Method, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let ours = [format!("127.0.0.1:{}", self.port), format!("localhost:{}", self.port)];
        let Some(host) = host.filter(|host| ours.iter().any(|ours| ours == host)) else {
            return Some((
                StatusCode::MISDIRECTED_REQUEST,
                "This server answers to 127.0.0.1 and localhost only.",
            ));
        };
        if ![Method::GET, Method::HEAD, Method::POST].contains(method) {
            return Some((StatusCode::METHOD_NOT_ALLOWED, "Only GET and POST."));
        }
        let is_change = *method == Method::POST;
        let origin = headers.get(ORIGIN).map(|origin| origin.as_bytes().to_vec());
        let from_us = origin == Some(format!("http://{host}").into_bytes());
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let cross_site = site.is_some_and(|site| site != b"same-origin" && site != b"none");
        if is_change && (!from_us || cross_site) {
            return Some((StatusCode::FORBIDDEN, "That form is not from this review."));
        }
        None
    }

    /// Whether the request comes from a browser that showed the key.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split("; ")).filter_map(|c| c.split_once('='));
        let name = self.cookie_name();
        pairs.any(|(key, value)| key == name && is_same(value, &self.session))
    }

    fn cookie_name(&self) -> String {
        format!("portcullis-{}", self.port)
    }

    fn get(&self, path: &str, query: &Query, knows: bool) -> Response<Body> {
        match path {
            "/report.css" => text("text/css; charset=utf-8", STYLES[0]),
            "/review.css" => text("text/css; charset=utf-8", STYLES[1]),
            "/review.js" => text("text/javascript; charset=utf-8", SCRIPT),
            "/mark.svg" => text("image/svg+xml", MARK),
            "/" if knows => see_other("/sources"),
            "/" => page(StatusCode::OK, entrance(false)),
            _ if !knows => page(StatusCode::FORBIDDEN, entrance(false)),
            "/sources" => page(StatusCode::OK, self.review().list_page(query, &self.csrf)),
            "/plan" => page(StatusCode::OK, self.review().plan_page(query, &self.csrf)),
            path => {
                let source = path.strip_prefix("/source/");
                let shown =
                    source.and_then(|text| self.review().source_page(text, query, &self.csrf));
                match shown {
                    Some(shown) => page(StatusCode::OK, shown),
                    None => {
                        page(StatusCode::NOT_FOUND, message("Not found", "There is no such page."))
                    }
                }
            }
        }
    }

    fn post(&self, path: &str, form: &Form, knows: bool) -> Response<Body> {
        if path == "/session" {
            return self.let_in(form);
        }
        if !knows {
            return page(StatusCode::FORBIDDEN, entrance(false));
        }
        if !form.get("csrf").is_some_and(|csrf| is_same(csrf, &self.csrf)) {
            let why = "That form is not from this review. Load its page again.";
            return page(StatusCode::FORBIDDEN, message("Refused", why));
        }
        let mut review = self.review();
        let done = match path {
            "/decide" => review.decide(form).map_err(|error| error.to_string()),
            "/others" => review.decide_others(form).map_err(|error| error.to_string()),
            "/save" => {
                return match (self.save)(&mut review) {
                    Ok(()) => {
                        see_other(&Query::parse(form.get("query").unwrap_or("")).address("/plan"))
                    }
                    Err(failure) => {
                        page(StatusCode::CONFLICT, message("Not saved", &failure.message()))
                    }
                };
            }
            "/finish" if review.unsaved() > 0 => Err("some decisions are not saved".to_owned()),
            "/finish" => {
                self.finished.notify_one();
                let end = "The review has ended. You can close this window.";
                return page(StatusCode::OK, message("Finished", end));
            }
            _ => {
                return page(StatusCode::NOT_FOUND, message("Not found", "There is no such page."));
            }
        };
        match done {
            Ok(()) => see_other(&form.way_back()),
            Err(why) => page(StatusCode::BAD_REQUEST, message("Not decided", &why)),
        }
    }

    /// Gives the cookie for the key.
    fn let_in(&self, form: &Form) -> Response<Body> {
        if !form.get("key").is_some_and(|key| is_same(key, &self.key)) {
            return page(StatusCode::FORBIDDEN, entrance(true));
        }
        let mut response = see_other("/sources");
        let cookie =
            format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie_name(), self.session);
        let cookie = HeaderValue::from_str(&cookie).expect("digits and letters");
        response.headers_mut().insert(SET_COOKIE, cookie);
        response
    }
}

/// A secret in hexadecimal.
fn secret() -> io::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn is_same(given: &str, secret: &str) -> bool {
    Sha256::digest(given) == Sha256::digest(secret)
}

fn page(status: StatusCode, html: String) -> Response<Body> {
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

fn text(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn see_other(address: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let address = HeaderValue::from_str(address).expect("addresses of ours are plain");
    response.headers_mut().insert(LOCATION, address);
    response
}
