//! For clients that have forgotten where their brokers are.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};

use crate::kafka_admin::add_brokers;

/// librdkafka keeps what it is told for good, so it is not told more often than it could be needed.
const LEAST_APART: Duration = Duration::from_secs(30);

/// Tells a client of its brokers again, where none answers.
///
/// A broker that is just coming or going tells that there are no brokers. librdkafka (2.10 and newer) then drops the
/// connection to each and makes none any more (confluentinc/librdkafka#5301): such a client would stay alone for ever.
#[derive(Debug)]
pub struct BrokerReminder {
    bootstrap_servers: String,
    last: Mutex<Option<Instant>>,
}

impl BrokerReminder {
    /// Of these brokers, host and port of each, with commas between.
    #[must_use]
    pub fn new(bootstrap_servers: &str) -> Self {
        Self { bootstrap_servers: bootstrap_servers.to_owned(), last: Mutex::default() }
    }

    /// Does nothing where the client was told just before.
    pub fn remind<C: ClientContext>(&self, client: &Client<C>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= LEAST_APART) {
            *last = Some(Instant::now());
            add_brokers(client, &self.bootstrap_servers);
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, Producer as _};

    use super::*;
    use crate::kafka::KafkaConnection;

    #[test]
    fn a_client_that_knows_no_broker_that_answers_is_told_of_one() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("trades", 3, 1).unwrap();
        // A port on which nobody listens.
        let connection =
            KafkaConnection { bootstrap_servers: "127.0.0.1:1".to_owned(), ..KafkaConnection::default() };
        let client: BaseProducer = connection.client_config("test", &[]).create().unwrap();
        let partitions = |limit_s: u64| {
            let metadata = client.client().fetch_metadata(Some("trades"), Duration::from_secs(limit_s));
            metadata.map(|metadata| metadata.topics()[0].partitions().len())
        };
        assert!(partitions(1).is_err());
        let reminder = BrokerReminder::new(&cluster.bootstrap_servers());
        reminder.remind(client.client());
        assert_eq!(partitions(30), Ok(3));
        let first = *reminder.last.lock().unwrap();
        reminder.remind(client.client());
        assert_eq!(*reminder.last.lock().unwrap(), first, "not twice within a moment");
    }
}
