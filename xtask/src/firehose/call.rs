//! One simulated request, and what the gateway makes of it.
//!
//! Actors say what they ask for and how it ends in the API's terms
//! ([`Outcome`]). How that looks in a log depends on the kind of API: on a REST
//! API an unknown route is `403 MISSING_AUTHENTICATION_TOKEN`, on an HTTP API
//! and on a plain web server it is 404. [`Call::settle`] makes that translation,
//! so no actor needs to know the kind.
//!
//! Source: API Gateway guide, "Gateway response types"
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>

use std::fmt::{Display, Write as _};
use std::net::IpAddr;

use super::calendar::Millis;
use super::dice::Dice;

/// What answers the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// A REST API (v1) with a web ACL.
    Rest,
    /// An HTTP API (v2), which can have no web ACL.
    Http,
    /// A web server without API Gateway.
    Server,
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Created,
    NoContent,
    /// No route has this method and path.
    UnknownRoute,
    /// The backend knows no such thing.
    NotFound,
    /// The backend's answer to a wrong password.
    WrongPassword,
    ExpiredToken,
    /// The backend refuses somebody who is logged in.
    Forbidden,
    InvalidApiKey,
    BadRequest,
    Conflict,
    Throttled,
    BackendFailed,
    BackendTimedOut,
    /// AWS WAF refused it. Only a REST API has a web ACL; elsewhere the route is unknown.
    BlockedByWaf,
}

/// One request with everything any format can log of it.
///
/// Empty text means absent. The struct is reused from request to request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) time: Millis,
    pub(crate) client: IpAddr,
    pub(crate) method: &'static str,
    /// As sent, percent-encoded, without the stage.
    pub(crate) path: String,
    /// As sent, without `?`.
    pub(crate) query: String,
    /// The route's template; `None` when no route matched.
    pub(crate) route: Option<&'static str>,
    pub(crate) user_agent: String,
    pub(crate) referer: String,
    pub(crate) api_key_id: String,
    pub(crate) principal: String,
    pub(crate) outcome: Outcome,
    // Below: filled in by `settle`.
    pub(crate) status: u16,
    pub(crate) error_type: &'static str,
    pub(crate) error_message: &'static str,
    pub(crate) response_bytes: u32,
    pub(crate) latency_ms: u32,
    /// The backend's status; `None` when the gateway answered by itself.
    pub(crate) integration_status: Option<u16>,
    pub(crate) waf: &'static str,
    pub(crate) request_id: [u8; 36],
    pub(crate) extended_id: [u8; 16],
}

impl Call {
    pub(crate) fn new() -> Self {
        Self {
            time: 0,
            client: IpAddr::from([0, 0, 0, 0]),
            method: "GET",
            path: String::new(),
            query: String::new(),
            route: None,
            user_agent: String::new(),
            referer: String::new(),
            api_key_id: String::new(),
            principal: String::new(),
            outcome: Outcome::Done,
            status: 0,
            error_type: "",
            error_message: "",
            response_bytes: 0,
            latency_ms: 0,
            integration_status: None,
            waf: "",
            request_id: [b'0'; 36],
            extended_id: [b'0'; 16],
        }
    }

    /// Begins another request at `time`, keeping the buffers.
    pub(crate) fn begin(&mut self, time: Millis) {
        self.time = time;
        self.method = "GET";
        self.route = None;
        self.outcome = Outcome::Done;
        for text in [
            &mut self.path,
            &mut self.query,
            &mut self.user_agent,
            &mut self.referer,
            &mut self.api_key_id,
            &mut self.principal,
        ] {
            text.clear();
        }
    }

    /// Asks for a route, its `{parameters}` replaced in order. Parameters are written as
    /// given, so client text must come percent-encoded.
    pub(crate) fn ask(
        &mut self,
        method: &'static str,
        route: &'static str,
        parameters: &[&dyn Display],
    ) {
        self.method = method;
        self.route = Some(route);
        self.path.clear();
        let mut rest = route;
        for parameter in parameters {
            let open = rest.find('{').expect("a route has a brace for each parameter");
            let close = rest.find('}').expect("braces are closed");
            self.path.push_str(&rest[..open]);
            write!(self.path, "{parameter}").expect("writing to a String cannot fail");
            rest = &rest[close + 1..];
        }
        self.path.push_str(rest);
    }

    /// Asks for something no route serves.
    pub(crate) fn ask_unrouted(&mut self, method: &'static str, path: &str, query: &str) {
        self.method = method;
        self.route = None;
        self.path.clear();
        self.path.push_str(path);
        self.query.clear();
        self.query.push_str(query);
        self.outcome = Outcome::UnknownRoute;
    }

    /// Fills in what the gateway adds: status, error, sizes, times and ids.
    pub(crate) fn settle(&mut self, api: Api, dice: &mut Dice) {
        let outcome = match (self.outcome, api) {
            (Outcome::BlockedByWaf, Api::Http | Api::Server) => Outcome::UnknownRoute,
            (outcome, _) => outcome,
        };
        let (rest, http, error_type, error_message) = verdict(outcome);
        self.status = if api == Api::Rest { rest } else { http };
        (self.error_type, self.error_message) = match (api, error_type) {
            // An HTTP API has fewer gateway responses, and answers wrong keys from its backend.
            (Api::Http, "MISSING_AUTHENTICATION_TOKEN") => ("", "Not Found"),
            (Api::Http, "EXPIRED_TOKEN") => ("UNAUTHORIZED", "Unauthorized"),
            (Api::Server, _) | (Api::Http, "INVALID_API_KEY") => ("", ""),
            _ => (error_type, error_message),
        };
        let from_backend = error_type.is_empty() || error_type.starts_with("INTEGRATION");
        self.integration_status = from_backend.then_some(self.status);
        self.waf = match (api, outcome) {
            (Api::Rest, Outcome::BlockedByWaf) => "WAF_BLOCK",
            (Api::Rest, _) => "WAF_ALLOW",
            _ => "",
        };
        self.response_bytes = match outcome {
            Outcome::Done => 180 + dice.below(6_000) as u32,
            Outcome::Created => 120 + dice.below(300) as u32,
            Outcome::NoContent => 0,
            Outcome::UnknownRoute | Outcome::InvalidApiKey => error_message.len() as u32 + 16,
            _ => 40 + dice.below(90) as u32,
        };
        self.latency_ms = match outcome {
            Outcome::BackendTimedOut => 29_000 + dice.below(90) as u32,
            _ if from_backend => 18 + (dice.below(240) * dice.below(240) / 240) as u32,
            _ => 1 + dice.below(7) as u32,
        };
        self.request_id = dice.uuid();
        self.extended_id = dice.gateway_id();
    }
}

/// Status on a REST API, status elsewhere, gateway response type (empty when the backend
/// answered) and its message.
fn verdict(outcome: Outcome) -> (u16, u16, &'static str, &'static str) {
    match outcome {
        Outcome::Done => (200, 200, "", ""),
        Outcome::Created => (201, 201, "", ""),
        Outcome::NoContent => (204, 204, "", ""),
        Outcome::UnknownRoute => {
            (403, 404, "MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token")
        }
        Outcome::NotFound => (404, 404, "", ""),
        Outcome::WrongPassword => (401, 401, "", ""),
        Outcome::ExpiredToken => {
            (403, 401, "EXPIRED_TOKEN", "The security token included in the request is expired")
        }
        Outcome::Forbidden => (403, 403, "", ""),
        Outcome::InvalidApiKey => (403, 403, "INVALID_API_KEY", "Forbidden"),
        Outcome::BadRequest => (400, 400, "BAD_REQUEST_PARAMETERS", "Invalid request parameters"),
        Outcome::Conflict => (409, 409, "", ""),
        Outcome::Throttled => (429, 429, "THROTTLED", "Too Many Requests"),
        Outcome::BackendFailed => (500, 500, "", ""),
        Outcome::BackendTimedOut => (504, 504, "INTEGRATION_TIMEOUT", "Endpoint request timed out"),
        Outcome::BlockedByWaf => (403, 404, "WAF_FILTERED", "Forbidden"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(outcome: Outcome, api: Api) -> Call {
        let mut call = Call::new();
        call.outcome = outcome;
        call.settle(api, &mut Dice::new(1, "test", 0));
        call
    }

    #[test]
    fn an_unknown_route_is_403_on_rest_and_404_elsewhere() {
        let rest = settled(Outcome::UnknownRoute, Api::Rest);
        assert_eq!((rest.status, rest.error_type), (403, "MISSING_AUTHENTICATION_TOKEN"));
        assert_eq!(settled(Outcome::UnknownRoute, Api::Http).status, 404);
        assert_eq!(settled(Outcome::UnknownRoute, Api::Server).status, 404);
    }

    #[test]
    fn only_a_rest_api_has_a_web_acl() {
        assert_eq!(settled(Outcome::BlockedByWaf, Api::Rest).waf, "WAF_BLOCK");
        assert_eq!(settled(Outcome::Done, Api::Rest).waf, "WAF_ALLOW");
        let http = settled(Outcome::BlockedByWaf, Api::Http);
        assert_eq!((http.waf, http.status), ("", 404));
    }

    #[test]
    fn route_parameters_are_replaced_in_order() {
        let mut call = Call::new();
        call.ask("PUT", "/users/{userId}/cards/{cardId}/limit", &[&17, &"a%20b"]);
        assert_eq!(call.path, "/users/17/cards/a%20b/limit");
        call.ask("GET", "/health", &[]);
        assert_eq!(call.path, "/health");
    }
}
