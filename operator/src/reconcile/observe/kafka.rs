//! Looks at topics. All pipelines of one broker share one client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crds::CryptoPipeline;
use crds::spec::KafkaSpec;
use kube::runtime::reflector::ObjectRef;
use runtime::kafka::{KafkaConnection, KafkaSecurity};
use runtime::kafka_admin::{KafkaAdmin, KafkaAdminError};

use super::reader::{Look, News, Pace, Readers};
use super::{Failure, Reading, Server, TopicState};

const CLIENT_ID: &str = "cryptopipeline-operator";
const TIMEOUT: Duration = Duration::from_secs(5);

/// The brokers that pipelines name.
pub struct Brokers {
    clients: Mutex<HashMap<KafkaConnection, Weak<KafkaAdmin>>>,
    topics: Readers<TopicKey, TopicLook>,
}

/// A topic at a broker. Other credentials make another key, so that a changed Secret is used at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicKey {
    /// The broker.
    pub connection: KafkaConnection,
    /// The topic's name.
    pub topic: String,
}

impl TopicKey {
    /// The topic that `kafka` names, at a broker with this security.
    #[must_use]
    pub fn new(kafka: &KafkaSpec, security: KafkaSecurity) -> Self {
        let connection = KafkaConnection {
            bootstrap_servers: kafka.bootstrap_servers.clone(),
            security,
            client_config: kafka.client_config.clone(),
        };
        Self { connection, topic: kafka.topic.name.clone() }
    }
}

impl Brokers {
    /// Knows no broker yet.
    #[must_use]
    pub fn new(news: News) -> Self {
        Self { clients: Mutex::default(), topics: Readers::new(news, Pace::default()) }
    }

    /// The last look at a topic.
    pub fn topic(&self, key: &TopicKey, asker: &ObjectRef<CryptoPipeline>) -> Reading<Option<TopicState>> {
        match self.admin(&key.connection) {
            Ok(admin) => self.topics.read(key, asker, || TopicLook { admin, topic: key.topic.clone() }),
            Err(error) => Reading::Failed(failure(&error)),
        }
    }

    /// Looks at a topic at once and waits for that look: it was just changed.
    pub async fn look_again(&self, key: &TopicKey) {
        self.topics.look_again(key).await;
    }

    /// The client of a broker; it lives as long as somebody looks at one of its topics.
    ///
    /// # Errors
    /// Where librdkafka refuses the settings.
    pub fn admin(&self, connection: &KafkaConnection) -> Result<Arc<KafkaAdmin>, KafkaAdminError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(admin) = clients.get(connection).and_then(Weak::upgrade) {
            return Ok(admin);
        }
        clients.retain(|_, client| client.strong_count() > 0);
        let admin = Arc::new(KafkaAdmin::new(connection, CLIENT_ID, TIMEOUT)?);
        clients.insert(connection.clone(), Arc::downgrade(&admin));
        Ok(admin)
    }
}

/// What a broker's error means for those who wait.
pub(crate) fn failure(error: &KafkaAdminError) -> Failure {
    Failure { message: error.to_string(), is_transient: error.is_transient() }
}

struct TopicLook {
    admin: Arc<KafkaAdmin>,
    topic: String,
}

impl Look for TopicLook {
    type Seen = Option<TopicState>;

    async fn look(&mut self) -> Result<Option<TopicState>, Failure> {
        let looked = async {
            let Some(description) = self.admin.describe_topic(&self.topic).await? else { return Ok(None) };
            let config = self.admin.topic_config(&self.topic).await?;
            let end_offsets = self.admin.end_offsets(&self.topic, description.partitions).await?;
            let brokers = self.admin.brokers().await?.into_iter().map(Server::from).collect();
            Ok(Some(TopicState { description, config, end_offsets, brokers }))
        };
        looked.await.map_err(|error| failure(&error))
    }

    fn is_news(before: &Self::Seen, after: &Self::Seen) -> bool {
        let lasting = |topic: &Option<TopicState>| {
            topic
                .as_ref()
                .map(|topic| (topic.description.clone(), topic.config.clone(), topic.brokers.clone()))
        };
        lasting(before) != lasting(after)
    }

    async fn close(self) {
        // Waits for the client's threads. The result is an error only while the program ends.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}
