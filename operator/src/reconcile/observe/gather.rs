//! Puts the last looks together.

use crds::CryptoPipeline;
use crds::spec::DatabaseSpec;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::cluster;
use super::database::SchemaKey;
use super::kafka::TopicKey;
use super::{Observed, Reading, SecretState};
use crate::context::Context;
use crate::reconcile::memory::Memory;

/// What is known, and how to reach what it was read from.
pub struct Observation {
    /// What is known.
    pub observed: Observed,
    /// The topic, where the spec names a broker.
    pub topic: Option<TopicKey>,
    /// The schema, where the spec names a database and its Secret could be read.
    pub schema: Option<SchemaKey>,
}

/// Everything that is known of `pipeline`. Only the Secret is asked for here; the rest are the last looks.
pub async fn observe(pipeline: &CryptoPipeline, context: &Context, memory: &mut Memory) -> Observation {
    let asker = ObjectRef::from_obj(pipeline);
    let topic = pipeline.spec.kafka.as_ref().map(TopicKey::new);
    let (secret, schema) = match (&pipeline.spec.database, &topic) {
        (Some(database), Some(topic)) => credentials(pipeline, database, &topic.topic, context, memory).await,
        _ => (SecretState::Pending, None),
    };
    let workloads = cluster::workloads(pipeline, &context.stores.deployments, &context.stores.pods);
    let observed = Observed {
        topic: topic.as_ref().map_or(Reading::Pending, |topic| context.brokers.topic(topic, &asker)),
        topic_rival: cluster::topic_rival(pipeline, &context.stores.pipelines),
        secret,
        schema: schema.as_ref().map_or(Reading::Pending, |schema| context.databases.schema(schema, &asker)),
        workers: context.workers.reports(&asker),
        writers_gone_since: memory.writers_gone_since(&workloads, Timestamp::now()),
        workloads,
    };
    Observation { observed, topic, schema }
}

async fn credentials(
    pipeline: &CryptoPipeline,
    database: &DatabaseSpec,
    topic: &str,
    context: &Context,
    memory: &mut Memory,
) -> (SecretState, Option<SchemaKey>) {
    let generation = pipeline.metadata.generation;
    let (state, url) = match memory.secret(generation) {
        Some(remembered) => remembered,
        None => {
            let namespace = pipeline.namespace().unwrap_or_default();
            let read = cluster::read_secret(&context.client, &namespace, &database.connection_secret).await;
            memory.note_secret(generation, read.0.clone(), read.1.clone());
            read
        }
    };
    let key = url.map(|url| SchemaKey { url, schema: database.schema.clone(), topic: topic.to_owned() });
    (state, key)
}
