//! Puts the last looks together.

use crds::CryptoPipeline;
use crds::spec::{DatabaseSpec, KafkaSpec};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::cluster;
use super::database::SchemaKey;
use super::kafka::TopicKey;
use super::secrets::{Credentials, Secrets};
use super::services::ServiceKey;
use super::{Observed, Reading, SecretState, Server};
use crate::context::Context;
use crate::reconcile::memory::Memory;
use crate::reconcile::plan::servers;

/// What is known, and how to reach what it was read from.
pub struct Observation {
    /// What is known.
    pub observed: Observed,
    /// The topic, where the spec names a broker and its Secrets could be read.
    pub topic: Option<TopicKey>,
    /// The schema, where the spec names a database and its Secrets could be read.
    pub schema: Option<SchemaKey>,
}

impl Observation {
    /// Whether something is being looked at for the first time; a look ends within seconds, well or not.
    #[must_use]
    pub fn is_first(&self) -> bool {
        let Observed { topic, schema, workers, .. } = &self.observed;
        (self.topic.is_some() && *topic == Reading::Pending)
            || (self.schema.is_some() && *schema == Reading::Pending)
            || *workers == Reading::Pending
    }
}

/// Everything that is known of `pipeline`. Only the Secrets are asked for here; the rest are the last looks.
pub async fn observe(pipeline: &CryptoPipeline, context: &Context, memory: &mut Memory) -> Observation {
    let asker = ObjectRef::from_obj(pipeline);
    let (topic, schema, secrets) = match (&pipeline.spec.kafka, &pipeline.spec.database) {
        (Some(kafka), Some(database)) => {
            let credentials = credentials(pipeline, kafka, database, context, memory).await;
            let topic = credentials.kafka.clone().ok().map(|security| TopicKey::new(kafka, security));
            let schema = credentials.database.clone().ok().map(|access| SchemaKey {
                workers: (access.workers != access.admin).then_some(access.workers),
                connection: access.admin,
                schema: database.schema.clone(),
                topic: kafka.topic.name.clone(),
            });
            (topic, schema, credentials.states())
        }
        // Such a pipeline has no plan.
        _ => (None, None, [SecretState::Pending, SecretState::Pending]),
    };
    let [kafka_secrets, database_secrets] = secrets;
    let workloads = cluster::workloads(pipeline, &context.stores.deployments, &context.stores.pods);
    let namespace = pipeline.namespace().unwrap_or_default();
    let topic_reading = topic.as_ref().map_or(Reading::Pending, |topic| context.brokers.topic(topic, &asker));
    let told = topic_reading.value().and_then(Option::as_ref);
    let servers = servers(&pipeline.spec, &database_secrets, told);
    let service = |server: Server| {
        let key = ServiceKey::of_host(&server.host, &namespace)?;
        Some((server.host, context.services.ports(&key, &asker)))
    };
    let observed = Observed {
        service_ports: servers.into_iter().filter_map(service).collect(),
        topic: topic_reading,
        topic_rival: cluster::topic_rival(pipeline, &context.stores.pipelines),
        kafka_secrets,
        database_secrets,
        schema: schema.as_ref().map_or(Reading::Pending, |schema| context.databases.schema(schema, &asker)),
        workers: context.workers.reports(&asker),
        writers_gone_since: memory.writers_gone_since(&workloads, Timestamp::now()),
        workloads,
    };
    Observation { observed, topic, schema }
}

async fn credentials(
    pipeline: &CryptoPipeline,
    kafka: &KafkaSpec,
    database: &DatabaseSpec,
    context: &Context,
    memory: &mut Memory,
) -> Credentials {
    let generation = pipeline.metadata.generation;
    if let Some(remembered) = memory.credentials(generation) {
        return remembered;
    }
    let namespace = pipeline.namespace().unwrap_or_default();
    let secrets = Secrets::read(&context.client, &namespace, &pipeline.spec).await;
    let credentials =
        Credentials { kafka: secrets.kafka_security(kafka), database: secrets.database_access(database) };
    memory.note_credentials(generation, credentials.clone());
    credentials
}
