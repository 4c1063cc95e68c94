//! A queue of SQS that S3 tells of new objects.
//!
//! A message is ours for a while and comes again unless it is deleted in that time. So it
//! is deleted when what it tells of is safe, kept from coming again while it is worked on,
//! and left alone when nothing can be done with it: after some deliveries the queue moves
//! it to the queue for such messages, if it has one.
//!
//! Sources: Amazon SQS Developer Guide, "Visibility timeout", "Long polling",
//! "Dead-letter queues".

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    MessageSystemAttributeName,
};

use crate::connection::Connection;
use crate::failure::{failure, with_remedy};
use crate::patience::tries;

/// Most messages of one call, in both directions.
const MOST_AT_ONCE: i32 = 10;

/// Longest wait for a message that SQS allows.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Why the queue did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QueueError(String);

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

/// A message, which is ours until its visibility ends.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its name in the queue.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    pub(crate) receipt: String,
}

impl Queue {
    /// The queue at `url`; nothing is asked yet.
    pub fn new(connection: &Connection, url: &str) -> Self {
        let patience = LONGEST_WAIT + Duration::from_secs(10);
        let patience = TimeoutConfig::builder().operation_attempt_timeout(patience).build();
        // Each call can be made again without harm.
        let config =
            Builder::from(&connection.config).retry_config(tries()).timeout_config(patience);
        Self { client: Client::from_conf(config.build()), url: url.to_owned() }
    }

    /// Waits for messages, at most `wait`, and keeps them from coming again for
    /// `visibility`.
    ///
    /// # Errors
    ///
    /// When the queue cannot be read.
    pub async fn receive(
        &self,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, QueueError> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(MOST_AT_ONCE)
            .wait_time_seconds(seconds(wait.min(LONGEST_WAIT)))
            .visibility_timeout(seconds(visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| QueueError(with_remedy(failure(&error).2)))?;
        let messages = received.messages.unwrap_or_default().into_iter().map(|message| {
            let deliveries = message
                .attributes
                .as_ref()
                .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount))
                .and_then(|count| count.parse().ok())
                .unwrap_or(1);
            Message {
                id: message.message_id.unwrap_or_default(),
                body: message.body.unwrap_or_default(),
                deliveries,
                receipt: message.receipt_handle.unwrap_or_default(),
            }
        });
        Ok(messages.collect())
    }

    /// Keeps messages from coming again for `visibility` from now on. One that came again
    /// already is left alone.
    ///
    /// # Errors
    ///
    /// When the queue cannot be reached.
    pub async fn extend(
        &self,
        messages: &[Message],
        visibility: Duration,
    ) -> Result<(), QueueError> {
        for part in messages.chunks(MOST_AT_ONCE as usize) {
            let entries = part.iter().enumerate().map(|(index, message)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(&message.receipt)
                    .visibility_timeout(seconds(visibility))
                    .build()
                    .expect("id and receipt are given")
            });
            self.client
                .change_message_visibility_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .map_err(|error| QueueError(with_remedy(failure(&error).2)))?;
        }
        Ok(())
    }

    /// Deletes messages; gives how many could not be deleted, which come again.
    ///
    /// # Errors
    ///
    /// When the queue cannot be reached.
    pub async fn delete(&self, messages: &[Message]) -> Result<usize, QueueError> {
        let mut left = 0;
        for part in messages.chunks(MOST_AT_ONCE as usize) {
            let entries = part.iter().enumerate().map(|(index, message)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(&message.receipt)
                    .build()
                    .expect("id and receipt are given")
            });
            let deleted = self
                .client
                .delete_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .map_err(|error| QueueError(with_remedy(failure(&error).2)))?;
            left += deleted.failed.len();
        }
        Ok(left)
    }
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}
