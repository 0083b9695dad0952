//! Deletes what a resource created outside the cluster: the topic, if it still has the id that it was made with,
//! and the schema, if its owner row names this resource.

use std::time::Duration;

use crds::CryptoPipeline;
use crds::spec::DatabaseSpec;
use kube::ResourceExt;
use runtime::error_chain::error_chain;
use runtime::kafka_admin::KafkaAdminError;
use store::{Owner, Store};

use crate::context::Context;
use crate::reconcile::observe::database::CONNECT;
use crate::reconcile::observe::kafka::TopicKey;
use crate::reconcile::observe::secrets::Secrets;

const LIMIT: Duration = Duration::from_secs(10);

/// Deletes both; each thing that is still there comes back with the reason.
pub(super) async fn delete(pipeline: &CryptoPipeline, context: &Context) -> Vec<String> {
    let (topic, schema) = futures::join!(delete_topic(pipeline, context), delete_schema(pipeline, context));
    [topic, schema].into_iter().filter_map(Result::err).collect()
}

async fn delete_topic(pipeline: &CryptoPipeline, context: &Context) -> Result<(), String> {
    let created =
        pipeline.status.as_ref().and_then(|status| status.topic.as_ref()).filter(|topic| topic.created);
    let (Some(kafka), Some(created)) = (&pipeline.spec.kafka, created) else { return Ok(()) };
    let deleted = async {
        let secrets = secrets_of(pipeline, context).await;
        let security = secrets.kafka_security(kafka).map_err(|problem| problem.message)?;
        let key = TopicKey::new(kafka, security);
        let deleted = async {
            let admin = context.brokers.admin(&key.connection)?;
            match admin.describe_topic(&created.name).await? {
                Some(topic) if created.has_created(&topic.id) => admin.delete_topic(&created.name).await,
                _ => Ok(()),
            }
        };
        deleted.await.map_err(|error: KafkaAdminError| error.to_string())
    };
    let reason = match tokio::time::timeout(LIMIT, deleted).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(reason)) => reason,
        Err(_) => "no answer in time".to_owned(),
    };
    Err(format!("topic {} at {} ({reason})", created.name, kafka.bootstrap_servers))
}

async fn secrets_of(pipeline: &CryptoPipeline, context: &Context) -> Secrets {
    Secrets::read(&context.client, &pipeline.namespace().unwrap_or_default(), &pipeline.spec).await
}

async fn delete_schema(pipeline: &CryptoPipeline, context: &Context) -> Result<(), String> {
    let Some(database) = &pipeline.spec.database else { return Ok(()) };
    if !database.managed {
        return Ok(());
    }
    // It may be there all the same: its owner row says so, if an operator died before it could.
    let never_seen = pipeline.status.as_ref().is_none_or(|status| status.schema.is_none());
    let reason = match tokio::time::timeout(LIMIT, drop_schema(pipeline, database, context)).await {
        Ok(Ok(())) => return Ok(()),
        failed if never_seen => {
            tracing::info!(
                schema = database.schema,
                ?failed,
                "not looked for: it was never seen to be there"
            );
            return Ok(());
        }
        Ok(Err(reason)) => reason,
        Err(_) => "no answer in time".to_owned(),
    };
    Err(format!("schema {} ({reason})", database.schema))
}

async fn drop_schema(
    pipeline: &CryptoPipeline,
    database: &DatabaseSpec,
    context: &Context,
) -> Result<(), String> {
    let secrets = secrets_of(pipeline, context).await;
    let access = secrets.database_access(database).map_err(|problem| problem.message)?;
    let namespace = pipeline.namespace().unwrap_or_default();
    let owner = Owner { namespace, name: pipeline.name_any(), uid: pipeline.uid().unwrap_or_default() };
    let dropped = async {
        let store = Store::connect(&access.admin, &database.schema, CONNECT).await?;
        let dropped = store.drop_schema(&owner).await;
        store.close().await;
        dropped
    };
    dropped.await.map(drop).map_err(|error| error_chain(&error))
}
