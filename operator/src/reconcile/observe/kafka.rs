//! Looks at topics. All pipelines of one broker share one client.

use std::sync::Arc;
use std::time::Duration;

use crds::CryptoPipeline;
use crds::spec::KafkaSpec;
use kube::runtime::reflector::ObjectRef;
use runtime::kafka::{KafkaConnection, KafkaSecurity};
use runtime::kafka_admin::{KafkaAdmin, KafkaAdminError};

use super::door::{ByServer, Door};
use super::reader::{Look, News, Pace, Readers};
use super::{Failure, Reading, Server, TopicState};

const CLIENT_ID: &str = "cryptopipeline-operator";
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many topics of one broker are looked at at the same time: each takes a thread, which waits.
const AT_ONCE: usize = 32;
/// How far apart where there are very many: a look is four requests, and a thousand topics take 25 seconds.
const SPACING: Duration = Duration::from_millis(25);

/// The brokers that pipelines name.
pub struct Brokers {
    brokers: ByServer<KafkaConnection, Broker>,
    topics: Readers<TopicKey, TopicLook>,
}

/// A broker, or a cluster of them.
struct Broker {
    admin: KafkaAdmin,
    door: Arc<Door>,
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
        Self { brokers: ByServer::default(), topics: Readers::new(news, Pace::default()) }
    }

    /// The last look at a topic.
    pub fn topic(&self, key: &TopicKey, asker: &ObjectRef<CryptoPipeline>) -> Reading<Option<TopicState>> {
        let broker = match self.broker(&key.connection) {
            Ok(broker) => broker,
            Err(error) => return Reading::Failed(failure(&error)),
        };
        let door = Arc::clone(&broker.door);
        self.topics.read(key, &door, asker, || TopicLook {
            broker,
            topic: key.topic.clone(),
            is_server_away: false,
        })
    }

    /// Looks at a topic at once and waits for that look: it was just changed.
    pub async fn look_again(&self, key: &TopicKey) {
        self.topics.look_again(key).await;
    }

    /// The client of a broker; it lives as long as somebody looks at one of its topics.
    ///
    /// # Errors
    /// Where librdkafka refuses the settings.
    pub fn admin(&self, connection: &KafkaConnection) -> Result<KafkaAdmin, KafkaAdminError> {
        Ok(self.broker(connection)?.admin.clone())
    }

    fn broker(&self, connection: &KafkaConnection) -> Result<Arc<Broker>, KafkaAdminError> {
        self.brokers.share(connection, || {
            let admin = KafkaAdmin::new(connection, CLIENT_ID, TIMEOUT)?;
            Ok(Broker { admin, door: Arc::new(Door::new(AT_ONCE, SPACING)) })
        })
    }
}

/// What a broker's error means for those who wait.
pub(crate) fn failure(error: &KafkaAdminError) -> Failure {
    Failure { message: error.to_string(), is_transient: error.is_transient() }
}

struct TopicLook {
    broker: Arc<Broker>,
    topic: String,
    is_server_away: bool,
}

impl Look for TopicLook {
    type Seen = Option<TopicState>;

    async fn look(&mut self) -> Result<Option<TopicState>, Failure> {
        let admin = &self.broker.admin;
        let looked = async {
            let Some(description) = admin.describe_topic(&self.topic).await? else { return Ok(None) };
            let config = admin.topic_config(&self.topic).await?;
            let end_offsets = admin.end_offsets(&self.topic, description.partitions).await?;
            let brokers = admin.brokers().await?.into_iter().map(Server::from).collect();
            Ok(Some(TopicState { description, config, end_offsets, brokers }))
        };
        let looked = looked.await;
        self.is_server_away = looked.as_ref().is_err_and(KafkaAdminError::is_server_away);
        looked.map_err(|error| failure(&error))
    }

    fn is_server_away(&self) -> bool {
        self.is_server_away
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
