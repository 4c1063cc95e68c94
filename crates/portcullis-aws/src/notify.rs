//! Sends a message to people: to a webhook, or to a topic of SNS.
//!
//! What a message says is somebody else's concern. The address of a webhook is a secret,
//! because whoever has it can write there: it is in no error and in no `Debug`.

use std::fmt;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::Builder;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::default_connector;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use aws_smithy_runtime_api::http::Request;
use aws_smithy_types::body::SdkBody;

use crate::connection::Connection;
use crate::failure::{failure, with_remedy};
use crate::patience::tries;

/// Most time for a webhook to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSent(String);

/// The address of a webhook: `https`, or `http` on this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook(String);

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(hidden)")
    }
}

impl Webhook {
    /// Takes an address.
    ///
    /// # Errors
    ///
    /// Anything else than `https`, which would show the secret on its way.
    pub fn parse(url: &str) -> Result<Self, NotSent> {
        let url = url.trim();
        let wrong = || NotSent("a webhook's address begins with https://".to_owned());
        let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
        let here = url.strip_prefix("http://").is_some_and(|rest| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
            matches!(host, "127.0.0.1" | "localhost" | "[::1]")
        });
        let secure = url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
        if is_plain && (secure || here) { Ok(Self(url.to_owned())) } else { Err(wrong()) }
    }

    /// Posts a document of JSON.
    ///
    /// # Errors
    ///
    /// When it is not answered, or not well.
    pub async fn post(&self, json: Vec<u8>) -> Result<(), NotSent> {
        let settings =
            HttpConnectorSettings::builder().connect_timeout(PATIENCE).read_timeout(PATIENCE);
        let sleep = SharedAsyncSleep::new(TokioSleep::new());
        let connector = default_connector(&settings.build(), Some(sleep))
            .ok_or_else(|| NotSent("this build has no HTTP client".to_owned()))?;
        let mut request = Request::new(SdkBody::from(json));
        // What the client says of a wrong address may hold the address.
        let refused = || NotSent("its address is refused by the HTTP client".to_owned());
        request.set_method("POST").map_err(|_| refused())?;
        request.set_uri(self.0.as_str()).map_err(|_| refused())?;
        request.headers_mut().insert("content-type", "application/json");
        let answer = connector.call(request).await;
        let answer = answer.map_err(|_| NotSent("it could not be reached".to_owned()))?;
        let status = answer.status().as_u16();
        if (200..300).contains(&status) {
            Ok(())
        } else {
            Err(NotSent(format!("it answered with status {status}")))
        }
    }
}

/// A topic of SNS.
#[derive(Debug)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// The topic of that ARN; nothing is asked yet.
    pub fn new(connection: &Connection, arn: &str) -> Self {
        // Told twice is better than not told.
        let config = Builder::from(&connection.config).retry_config(tries());
        Self { client: Client::from_conf(config.build()), arn: arn.to_owned() }
    }

    /// Publishes a message. `subject` is plain ASCII on one line, at most 100 characters.
    ///
    /// # Errors
    ///
    /// When it is refused, or not answered.
    pub async fn publish(&self, subject: &str, message: &str) -> Result<(), NotSent> {
        let call = self.client.publish().topic_arn(&self.arn).subject(subject).message(message);
        call.send().await.map(|_| ()).map_err(|error| NotSent(with_remedy(failure(&error).2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_reached_safely_or_not_at_all_and_never_shown() {
        for good in
            ["https://hooks.example.com/T0/B0/secret", "http://127.0.0.1:8080/x", "http://[::1]:80"]
        {
            let webhook = Webhook::parse(good).expect(good);
            assert!(!format!("{webhook:?}").contains("secret"));
        }
        for bad in [
            "",
            "https://",
            "http://hooks.example.com/secret",
            "http://127.0.0.1.example.com/secret",
            "http://127.0.0.1@example.com/secret",
            "ftp://example.com/secret",
            "https://example.com/se cret",
        ] {
            let error = Webhook::parse(bad).expect_err(bad).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
