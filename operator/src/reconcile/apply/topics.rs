//! Makes, grows and configures the topic.

use std::time::Duration;

use crds::condition::Reason;
use runtime::kafka_admin::{KafkaAdmin, KafkaAdminError, TopicDescription, TopicToCreate};

use super::{Applied, Deed};
use crate::reconcile::observe::TopicState;
use crate::reconcile::observe::kafka::{Brokers, TopicKey};
use crate::reconcile::plan::{Complaint, TopicPlan, TopicStep, WishedTopic};

/// A broker describes a topic as it was until it has heard of the change.
const LOOKS_AT_CHANGE: u32 = 25;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Carries out the topic's step.
pub async fn apply_topic(
    plan: &TopicPlan,
    found: Option<&TopicState>,
    key: &TopicKey,
    brokers: &Brokers,
    applied: &mut Applied,
) {
    let outcome = match &plan.step {
        TopicStep::Wait | TopicStep::Refuse(_) | TopicStep::Keep => return,
        TopicStep::Create => create(plan, key, brokers, applied).await,
        TopicStep::Change { grow_to, config } => {
            async {
                let admin = brokers.admin(&key.connection)?;
                if let Some(partitions) = *grow_to {
                    admin.grow_topic(&key.topic, partitions).await?;
                    described(&admin, &key.topic, partitions).await?;
                    let before = found.map_or(0, |topic| topic.description.partitions);
                    let message = format!("topic {}: {before} -> {partitions} partitions", key.topic);
                    applied.deeds.push(Deed { reason: "TopicGrown", message });
                }
                if !config.is_empty() {
                    admin.alter_topic_config(&key.topic, config).await?;
                    let settings: Vec<String> =
                        config.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    let message = format!("topic {}: set {}", key.topic, settings.join(", "));
                    applied.deeds.push(Deed { reason: "TopicConfigured", message });
                }
                Ok(())
            }
            .await
        }
    };
    applied.topic_failure = outcome.err().map(|error| complaint(&error));
    brokers.look_again(key).await;
}

async fn create(
    plan: &TopicPlan,
    key: &TopicKey,
    brokers: &Brokers,
    applied: &mut Applied,
) -> Result<(), KafkaAdminError> {
    let WishedTopic { name, partitions, replication_factor, config, .. } = &plan.wished;
    let admin = brokers.admin(&key.connection)?;
    let topic =
        TopicToCreate { name, partitions: *partitions, replication_factor: *replication_factor, config };
    admin.create_topic(&topic).await?;
    let message = format!("topic {name} with {partitions} partitions");
    applied.deeds.push(Deed { reason: "TopicCreated", message });
    applied.created_topic = Some(described(&admin, name, *partitions).await?.id);
    Ok(())
}

/// The topic once the broker describes it with so many partitions.
async fn described(
    admin: &KafkaAdmin,
    name: &str,
    partitions: i32,
) -> Result<TopicDescription, KafkaAdminError> {
    for _ in 0..LOOKS_AT_CHANGE {
        let topic = admin.describe_topic(name).await?;
        if let Some(topic) = topic.filter(|topic| topic.partitions >= partitions) {
            return Ok(topic);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let reason = format!("it has said that topic {name} has {partitions} partitions, and does not show them");
    Err(KafkaAdminError::NotYet { action: "describe the topic", reason })
}

fn complaint(error: &KafkaAdminError) -> Complaint {
    let reason = if error.is_transient() { Reason::BrokerUnreachable } else { Reason::BrokerRefused };
    Complaint::new(reason, error.to_string())
}
