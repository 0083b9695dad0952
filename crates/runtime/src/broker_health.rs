//! Whether the broker answers, from what a Kafka client tells: its errors, its statistics and its
//! successes. All three come on the client's own thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::Deserialize;

/// What is known of the broker. Every client of it starts without knowing anything.
#[derive(Debug)]
pub struct BrokerHealth {
    available: AtomicBool,
    message: Mutex<String>,
}

/// What matters of librdkafka's statistics.
#[derive(Deserialize)]
struct Statistics {
    brokers: std::collections::BTreeMap<String, BrokerStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    state: String,
}

impl Default for BrokerHealth {
    fn default() -> Self {
        Self { available: AtomicBool::new(false), message: Mutex::new("not connected yet".to_owned()) }
    }
}

impl BrokerHealth {
    /// Whether the broker answers.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    /// Why the broker does not answer; empty while it does.
    #[must_use]
    pub fn message(&self) -> String {
        if self.is_available() { String::new() } else { self.last_message().clone() }
    }

    /// The broker has done what it was asked.
    pub fn note_success(&self) {
        // Read first: this is said for every record, and hardly ever is it news.
        if !self.is_available() {
            self.available.store(true, Ordering::Relaxed);
        }
    }

    /// What was asked of the broker failed: it is unavailable because of `message` until it does
    /// something again.
    pub fn note_failure(&self, message: String) {
        *self.last_message() = message;
        self.available.store(false, Ordering::Relaxed);
    }

    /// The client's error callback. An error of one connection is kept as the likely cause;
    /// the broker is unavailable once no connection is left or none is let in.
    pub fn note_client_error(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.available.store(false, Ordering::Relaxed),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                self.note_failure(reason.to_owned());
            }
            _ => reason.clone_into(&mut self.last_message()),
        }
    }

    /// The client's statistics, as librdkafka's JSON.
    pub fn note_statistics(&self, statistics: &[u8]) {
        let Ok(Statistics { brokers }) = serde_json::from_slice(statistics) else {
            return;
        };
        if brokers.values().any(|broker| broker.state == "UP") {
            self.note_success();
        } else {
            self.available.store(false, Ordering::Relaxed);
        }
    }

    fn last_message(&self) -> std::sync::MutexGuard<'_, String> {
        self.message.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_is_away_until_it_has_answered() {
        let health = BrokerHealth::default();
        assert_eq!((health.is_available(), health.message().as_str()), (false, "not connected yet"));
        health.note_success();
        assert_eq!((health.is_available(), health.message().as_str()), (true, ""));
    }

    #[test]
    fn the_cause_is_told_once_the_last_connection_is_gone() {
        let health = BrokerHealth::default();
        health.note_success();
        let cause = "broker:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused";
        health.note_client_error(&KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), cause);
        assert!(health.is_available());
        health
            .note_client_error(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!((health.is_available(), health.message().as_str()), (false, cause));
    }

    #[test]
    fn statistics_tell_whether_any_connection_is_up() {
        let health = BrokerHealth::default();
        let statistics = |states: [&str; 2]| {
            format!(
                r#"{{"name":"p","brokers":{{"a:9092/1":{{"state":"{}","nodeid":1}},"b:9092/2":{{"state":"{}"}}}}}}"#,
                states[0], states[1]
            )
        };
        health.note_statistics(statistics(["DOWN", "UP"]).as_bytes());
        assert!(health.is_available());
        health.note_statistics(statistics(["DOWN", "INIT"]).as_bytes());
        assert!(!health.is_available());
        health.note_statistics(b"not json");
        assert!(!health.is_available());
    }
}
