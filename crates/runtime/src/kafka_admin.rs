//! What the operator asks of a broker: topics described, created, grown, configured and deleted, and where
//! their partitions end. Every request has a time limit and runs off the caller's thread.

mod native;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

pub(crate) use native::add_brokers;

use crate::broker_reminder::BrokerReminder;
use crate::kafka::KafkaConnection;

/// How long a partition may be without a leader before that is told.
const LONGEST_ELECTION: Duration = Duration::from_secs(3);
const ELECTION_LOOK: Duration = Duration::from_millis(50);

/// The partition that a record with this key goes to, of so many: by the partitioner of our producers
/// (`murmur2_random`, that of the Java clients).
#[must_use]
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    native::partition_of(key, partitions)
}

/// Why a broker did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaAdminError {
    /// The settings make no client.
    #[error("the Kafka settings are not usable: {0}")]
    InvalidSettings(String),
    /// No broker answered in time.
    #[error("the broker {address} does not answer{}{cause}", if .cause.is_empty() { "" } else { ": " })]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// The last thing that the client said of its connections; empty where it said nothing.
        cause: String,
    },
    /// Broker and client do not prove to each other who they are: another password, or another CA.
    #[error("the broker {address} and this client do not trust each other: {cause}")]
    Untrusted {
        /// Where it was looked for.
        address: String,
        /// What the client said of its connections.
        cause: String,
    },
    /// The broker answered that it cannot do it at this moment: a partition has no leader, or another one.
    #[error("the broker cannot {action} yet: {reason}")]
    NotYet {
        /// What was asked.
        action: &'static str,
        /// Its reason.
        reason: String,
    },
    /// The broker answered, and refused.
    #[error("the broker refused to {action}: {reason}")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// Its reason.
        reason: String,
    },
}

impl KafkaAdminError {
    /// Whether trying again may help without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotYet { .. })
    }

    /// Whether the broker was not reached, whatever it was asked for.
    #[must_use]
    pub const fn is_server_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Untrusted { .. })
    }
}

/// A topic as the broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The id that the broker gave it: a topic made anew under the same name has another.
    pub id: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// On how many brokers the first partition is kept.
    pub replication_factor: i32,
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicToCreate<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions.
    pub partitions: i32,
    /// On how many brokers each is kept.
    pub replication_factor: i32,
    /// Its settings.
    pub config: &'a BTreeMap<String, String>,
}

/// A client of one broker (or cluster of brokers) for administration. Cheap to clone; dropping the last clone
/// waits for the client's threads, which an executor should not do.
#[derive(Clone)]
pub struct KafkaAdmin {
    client: Arc<AdminClient<DefaultClientContext>>,
    reminder: Arc<BrokerReminder>,
    address: String,
    last_complaint: Arc<Mutex<String>>,
    timeout: Duration,
}

impl fmt::Debug for KafkaAdmin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KafkaAdmin").field("address", &self.address).finish_non_exhaustive()
    }
}

impl KafkaAdmin {
    /// A client that waits at most `timeout` for each answer. Nothing is connected yet.
    ///
    /// # Errors
    /// [`KafkaAdminError::InvalidSettings`] where librdkafka refuses the settings.
    pub fn new(
        connection: &KafkaConnection,
        client_id: &str,
        timeout: Duration,
    ) -> Result<Self, KafkaAdminError> {
        let client = connection
            .client_config(client_id, &[])
            .create()
            .map_err(|error| KafkaAdminError::InvalidSettings(error.to_string()))?;
        Ok(Self {
            client: Arc::new(client),
            reminder: Arc::new(BrokerReminder::new(&connection.bootstrap_servers)),
            address: connection.bootstrap_servers.clone(),
            last_complaint: Arc::default(),
            timeout,
        })
    }

    /// The topic, or `None` where there is none of that name. Asking never creates it.
    ///
    /// # Errors
    /// [`KafkaAdminError`] where the broker does not answer or refuses.
    pub async fn describe_topic(&self, name: &str) -> Result<Option<TopicDescription>, KafkaAdminError> {
        let name = name.to_owned();
        self.off_thread(move |admin| native::describe_topic(admin.client.inner(), &name, admin.timeout)).await
    }

    /// The effective settings of the topic, defaults included.
    ///
    /// # Errors
    /// [`KafkaAdminError`] where the broker does not answer or refuses.
    pub async fn topic_config(&self, name: &str) -> Result<BTreeMap<String, String>, KafkaAdminError> {
        const ACTION: &str = "describe the topic's settings";
        let resources = [ResourceSpecifier::Topic(name)];
        let results = self.client.describe_configs(&resources, &self.options()).await;
        let results = results.map_err(|error| self.failure(ACTION, &error))?;
        let entries = results.into_iter().next().map(|result| result.map(|resource| resource.entries));
        let entries = entries.unwrap_or(Ok(Vec::new())).map_err(|code| refused(ACTION, code))?;
        Ok(entries.into_iter().filter_map(|entry| entry.value.map(|value| (entry.name, value))).collect())
    }

    /// Where the brokers say that they answer, host and port; `bootstrap_servers` may name others.
    ///
    /// # Errors
    /// [`KafkaAdminError`] where no broker answers.
    pub async fn brokers(&self) -> Result<BTreeSet<(String, u16)>, KafkaAdminError> {
        self.off_thread(|admin| native::brokers(admin.client.inner(), admin.timeout)).await
    }

    /// The offset after the last record of each partition from 0 on. The partitions of a topic that was just made have
    /// no leaders for a moment: that is waited for.
    ///
    /// # Errors
    /// [`KafkaAdminError`] where the broker does not answer or refuses.
    pub async fn end_offsets(&self, name: &str, partitions: i32) -> Result<Vec<i64>, KafkaAdminError> {
        let begun = Instant::now();
        loop {
            let name = name.to_owned();
            let ends = self.off_thread(move |admin| {
                native::end_offsets(admin.client.inner(), &name, partitions, admin.timeout)
            });
            match ends.await {
                Err(KafkaAdminError::NotYet { .. }) if begun.elapsed() < LONGEST_ELECTION => {
                    tokio::time::sleep(ELECTION_LOOK).await;
                }
                ends => return ends,
            }
        }
    }

    /// Makes the topic. One that exists already is a refusal.
    ///
    /// # Errors
    /// [`KafkaAdminError`] where the broker does not answer or refuses.
    pub async fn create_topic(&self, topic: &TopicToCreate<'_>) -> Result<(), KafkaAdminError> {
        let replication = TopicReplication::Fixed(topic.replication_factor);
        let mut new_topic = NewTopic::new(topic.name, topic.partitions, replication);
        for (name, value) in topic.config {
            new_topic = new_topic.set(name, value);
        }
        let results = self.client.create_topics([&new_topic], &self.options()).await;
        self.only_result("create the topic", results)
    }

    /// Gives the topic more partitions, `partitions` in all.
    ///
    /// # Errors
    /// [`KafkaAdminError`] where the broker does not answer or refuses, as it does when asked for fewer.
    pub async fn grow_topic(&self, name: &str, partitions: i32) -> Result<(), KafkaAdminError> {
        let count = usize::try_from(partitions).unwrap_or_default();
        let results =
            self.client.create_partitions([&NewPartitions::new(name, count)], &self.options()).await;
        self.only_result("add partitions", results)
    }

    /// Changes these settings of the topic and leaves all others as they are.
    ///
    /// # Errors
    /// [`KafkaAdminError`] where the broker does not answer or refuses.
    pub async fn alter_topic_config(
        &self,
        name: &str,
        changes: &BTreeMap<String, String>,
    ) -> Result<(), KafkaAdminError> {
        let (name, changes) = (name.to_owned(), changes.clone());
        self.off_thread(move |admin| {
            native::alter_topic_config(admin.client.inner(), &name, &changes, admin.timeout)
        })
        .await
    }

    /// Deletes the topic with all its records.
    ///
    /// # Errors
    /// [`KafkaAdminError`] where the broker does not answer or refuses.
    pub async fn delete_topic(&self, name: &str) -> Result<(), KafkaAdminError> {
        let results = self.client.delete_topics(&[name], &self.options()).await;
        self.only_result("delete the topic", results)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.timeout)).operation_timeout(Some(self.timeout))
    }

    fn only_result(
        &self,
        action: &'static str,
        results: Result<Vec<rdkafka::admin::TopicResult>, KafkaError>,
    ) -> Result<(), KafkaAdminError> {
        for result in results.map_err(|error| self.failure(action, &error))? {
            result.map_err(|(_, code)| refused(action, code))?;
        }
        Ok(())
    }

    fn failure(&self, action: &'static str, error: &KafkaError) -> KafkaAdminError {
        match error.rdkafka_error_code() {
            Some(code) if is_timeout(code) => self.unreachable(),
            Some(code) => refused(action, code),
            None => KafkaAdminError::Refused { action, reason: error.to_string() },
        }
    }

    /// Runs a blocking request on a thread of its own.
    async fn off_thread<T, F>(&self, request: F) -> Result<T, KafkaAdminError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, native::NativeError> + Send + 'static,
    {
        let admin = self.clone();
        let joined = tokio::task::spawn_blocking(move || {
            let outcome = request(&admin);
            admin.read_complaints();
            match &outcome {
                // What was complained of before is over.
                Ok(_) => admin.last_complaint().clear(),
                Err(error) if is_timeout(error.code) => admin.reminder.remind(admin.client.inner()),
                Err(_) => {}
            }
            outcome
        })
        .await;
        match joined {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if is_timeout(error.code) => Err(self.unreachable()),
            Ok(Err(error)) if is_election(error.code) => {
                Err(KafkaAdminError::NotYet { action: error.action, reason: error.reason })
            }
            Ok(Err(error)) => Err(KafkaAdminError::Refused { action: error.action, reason: error.reason }),
            // Only a runtime that shuts down drops the request before it has run.
            Err(_) => Err(self.unreachable()),
        }
    }

    fn unreachable(&self) -> KafkaAdminError {
        self.read_complaints();
        let cause = self.last_complaint().clone();
        let address = self.address.clone();
        if is_distrust(&cause) {
            KafkaAdminError::Untrusted { address, cause }
        } else {
            KafkaAdminError::Unreachable { address, cause }
        }
    }

    fn last_complaint(&self) -> MutexGuard<'_, String> {
        self.last_complaint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empties the client's log, which nobody else reads and which would grow while a broker is away.
    fn read_complaints(&self) {
        for complaint in native::drain_log(self.client.inner()) {
            let complaint = essence(&complaint);
            // The sum of the others, and no cause.
            if !complaint.ends_with("brokers are down") {
                *self.last_complaint() = complaint;
            }
        }
    }
}

fn is_timeout(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::TimedOutQueue
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
    )
}

/// Whether librdkafka complains of a proof of identity. Its requests only tell that they have waited long enough.
fn is_distrust(complaint: &str) -> bool {
    // A wrong password, a mechanism that the broker does not have, a CA that did not sign, a certificate that is not taken.
    [
        "SASL authentication error",
        "mechanism handshake failed",
        "certificate verify failed",
        "SSL alert number",
    ]
    .iter()
    .any(|words| complaint.contains(words))
}

/// What a broker says of partitions whose leader is being chosen, or that it has not heard of yet.
fn is_election(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            // librdkafka's own word for a topic none of whose partitions has a leader.
            | RDKafkaErrorCode::NoEnt
    )
}

fn refused(action: &'static str, code: RDKafkaErrorCode) -> KafkaAdminError {
    KafkaAdminError::Refused { action, reason: code.to_string() }
}

/// A log line of librdkafka without its thread and its counters, so that the same cause reads the same.
fn essence(line: &str) -> String {
    let text =
        line.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")).map_or(line, |(_, text)| text);
    text.split_once(" (after ").map_or(text, |(text, _)| text).to_owned()
}

#[cfg(test)]
mod tests {
    use rdkafka::config::RDKafkaLogLevel;
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn the_same_cause_reads_the_same_whenever_it_is_told() {
        let first = "[thrd:localhost:1/bootstrap]: localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: \
                     Connection refused (after 0ms in state CONNECT)";
        let later = "[thrd:localhost:1/bootstrap]: localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: \
                     Connection refused (after 7ms in state CONNECT, 5 identical error(s) suppressed)";
        assert_eq!(
            essence(first),
            "localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused"
        );
        assert_eq!(essence(first), essence(later));
        assert_eq!(essence("plain"), "plain");
    }

    /// The hashes that Kafka's own UtilsTest names for these keys, without their sign.
    #[test]
    fn keys_go_where_the_java_clients_put_them() {
        let hashes =
            [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)];
        for (key, hash) in hashes {
            assert_eq!(partition_of(key.as_bytes(), 1_000), (hash & 0x7fff_ffff) % 1_000, "{key}");
        }
        assert_eq!(partition_of(b"foobar", 0), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_topic_that_was_just_made_ends_at_zero() {
        let Ok(bootstrap_servers) = std::env::var("KAFKA_BOOTSTRAP") else {
            assert!(std::env::var_os("REQUIRE_SERVICES").is_none(), "KAFKA_BOOTSTRAP is not set");
            eprintln!("skipped: KAFKA_BOOTSTRAP is not set");
            return;
        };
        let connection = KafkaConnection { bootstrap_servers, ..KafkaConnection::default() };
        let admin = KafkaAdmin::new(&connection, "test", Duration::from_secs(30)).unwrap();
        let name = format!("test-{}", uuid::Uuid::new_v4());
        let config = BTreeMap::new();
        let topic = TopicToCreate { name: &name, partitions: 50, replication_factor: 1, config: &config };
        admin.create_topic(&topic).await.unwrap();
        assert_eq!(admin.end_offsets(&name, 50).await, Ok(vec![0; 50]));
        let beyond = admin.end_offsets(&name, 51).await.unwrap_err();
        assert!(beyond.is_transient(), "{beyond}");
        admin.delete_topic(&name).await.unwrap();
    }

    #[tokio::test]
    async fn a_broker_that_is_away_is_named_with_the_cause() {
        // A port that is taken and on which nobody listens.
        let taken = tokio::net::TcpSocket::new_v4().unwrap();
        taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let connection = KafkaConnection { bootstrap_servers: address.clone(), ..KafkaConnection::default() };
        let admin = KafkaAdmin::new(&connection, "test", Duration::from_millis(1_500)).unwrap();
        let error = admin.describe_topic("trades").await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("the broker {address} does not answer: ")), "{text}");
        assert!(text.ends_with("Connection refused"), "{text}");
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// How often the client has tried to connect since the last look, as its own log says.
    fn attempts(client: &AdminClient<DefaultClientContext>) -> usize {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || native::drain_log(client.inner()));
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains("broker in state TRY_CONNECT connecting")).count()
    }

    #[test]
    fn a_request_that_waits_for_a_broker_leaves_it_in_peace() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("trades", 1, 1).unwrap();
        let connection =
            KafkaConnection { bootstrap_servers: cluster.bootstrap_servers(), ..KafkaConnection::default() };
        let mut config = connection.client_config("test", &[("debug", "broker")]);
        let client: AdminClient<DefaultClientContext> =
            config.set_log_level(RDKafkaLogLevel::Debug).create().unwrap();
        let ask = |timeout| native::end_offsets(client.inner(), "trades", 1, timeout);
        ask(Duration::from_secs(30)).unwrap();
        assert!(attempts(&client) > 0);
        // Not by its own command to go down: that ends the whole program where somebody else has got its port meanwhile.
        drop(cluster);
        let unanswered = ask(Duration::from_secs(3)).unwrap_err();
        assert!(is_timeout(unanswered.code), "{unanswered:?}");
        // Each lasts at least three quarters of 100 ms, doubled from then on; without a pause there are thousands.
        let attempts = attempts(&client);
        assert!((1..=30).contains(&attempts), "{attempts}");
    }

    #[test]
    fn settings_that_librdkafka_refuses_are_named() {
        let client_config = BTreeMap::from([("no.such.setting".to_owned(), "1".to_owned())]);
        let connection = KafkaConnection {
            bootstrap_servers: "127.0.0.1:1".to_owned(),
            client_config,
            ..KafkaConnection::default()
        };
        let error = KafkaAdmin::new(&connection, "test", Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("no.such.setting"), "{error}");
    }
}
