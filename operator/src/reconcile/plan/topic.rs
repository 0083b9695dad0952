//! What the topic should be, and what is to be done to it.

use std::collections::BTreeMap;

use crds::condition::Reason;
use crds::worker_settings::PipelineId;
use crds::{CryptoPipelineSpec, CryptoPipelineStatus};

use super::Complaint;
use crate::reconcile::observe::{Observed, Reading, SecretState, TopicState};

/// The settings that every topic of ours has. With the trades' own times retention would delete replayed trades
/// at once, and Kafka 4 would refuse clocks that run ahead.
const TIMESTAMP_TYPE: (&str, &str) = ("message.timestamp.type", "LogAppendTime");
const RETENTION: &str = "retention.ms";
const DEFAULT_PARTITIONS: i32 = 3;

/// The topic: as it should be and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// As it should be.
    pub wished: WishedTopic,
    /// What is to be done now.
    pub step: TopicStep,
    /// What is wrong with it although it is used as it is.
    pub complaint: Option<Complaint>,
}

/// A topic as the spec declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WishedTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// On how many brokers each is kept.
    pub replication_factor: i32,
    /// Every declared setting, those that fields of the spec stand for included.
    pub config: BTreeMap<String, String>,
    /// Whether it is ours to make and change.
    pub managed: bool,
}

/// What is to be done to the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicStep {
    /// Nothing, until the broker has answered.
    Wait,
    /// Nothing, until a person has acted.
    Refuse(Complaint),
    /// Make it.
    Create,
    /// Change it.
    Change {
        /// To so many partitions.
        grow_to: Option<i32>,
        /// To these settings, all others kept.
        config: BTreeMap<String, String>,
    },
    /// Nothing: it is there.
    Keep,
}

impl TopicStep {
    /// Whether the topic is there once the step is done.
    #[must_use]
    pub const fn leads_to_a_topic(&self) -> bool {
        matches!(self, Self::Create | Self::Change { .. } | Self::Keep)
    }
}

/// The topic that `spec` declares; one named after the pipeline where it declares none.
pub(super) fn wished_topic(id: &PipelineId, spec: &CryptoPipelineSpec) -> WishedTopic {
    let Some(kafka) = &spec.kafka else {
        return WishedTopic {
            name: id.name.clone(),
            partitions: DEFAULT_PARTITIONS,
            replication_factor: 1,
            config: BTreeMap::new(),
            managed: true,
        };
    };
    let topic = &kafka.topic;
    let mut config = topic.config.clone();
    config.insert(TIMESTAMP_TYPE.0.to_owned(), TIMESTAMP_TYPE.1.to_owned());
    if let Some(seconds) = topic.retention.seconds() {
        config.insert(RETENTION.to_owned(), (i128::from(seconds) * 1_000).to_string());
    }
    WishedTopic {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        config,
        managed: topic.managed,
    }
}

pub(super) fn plan_topic(
    wished: WishedTopic,
    status: Option<&CryptoPipelineStatus>,
    observed: &Observed,
) -> TopicPlan {
    let (step, complaint) = next_step(&wished, status, observed);
    TopicPlan { wished, step, complaint }
}

fn next_step(
    wished: &WishedTopic,
    status: Option<&CryptoPipelineStatus>,
    observed: &Observed,
) -> (TopicStep, Option<Complaint>) {
    if let Some(rival) = &observed.topic_rival {
        let message =
            format!("topic {} belongs to the older CryptoPipeline {rival}: name another topic", wished.name);
        return (TopicStep::Refuse(Complaint::new(Reason::TopicOwnedByAnother, message)), None);
    }
    if let SecretState::Missing(problem) = &observed.kafka_secrets {
        return (TopicStep::Refuse(problem.clone().into()), None);
    }
    let topic = match &observed.topic {
        Reading::Known { value, .. } => value,
        Reading::Failed(failure) if !failure.is_transient => {
            let complaint = Complaint::new(Reason::BrokerRefused, failure.message.clone());
            return (TopicStep::Refuse(complaint), None);
        }
        Reading::Failed(_) | Reading::Pending => return (TopicStep::Wait, None),
    };
    let Some(topic) = topic else {
        if wished.managed {
            return (TopicStep::Create, None);
        }
        let message = format!("topic {} does not exist and topic.managed is false: create it", wished.name);
        return (TopicStep::Refuse(Complaint::new(Reason::TopicNotFound, message)), None);
    };
    let known = status.and_then(|status| status.topic.as_ref());
    let id = &topic.description.id;
    let is_in_use = known.is_some_and(|known| match &known.id {
        Some(known_id) => known_id == id,
        // An operator was about to create it, and did not live to say whether it has. It is ours if it looks so.
        None => known.created && is_as_it_was_to_be(wished, topic),
    });
    match (is_in_use, wished.managed) {
        (true, true) => change_own(wished, topic),
        (true, false) => (TopicStep::Keep, foreign_difference(wished, topic)),
        (false, _) => match foreign_difference(wished, topic) {
            Some(complaint) => (TopicStep::Refuse(complaint), None),
            None => (TopicStep::Keep, None),
        },
    }
}

/// As declared, or as declared before more partitions were.
fn is_as_it_was_to_be(wished: &WishedTopic, topic: &TopicState) -> bool {
    let has = &topic.description;
    has.partitions <= wished.partitions
        && has.replication_factor == wished.replication_factor
        && config_drift(wished, topic).is_empty()
}

/// Brings a topic that the pipeline uses already to the declared state, as far as Kafka can.
fn change_own(wished: &WishedTopic, topic: &TopicState) -> (TopicStep, Option<Complaint>) {
    let has = &topic.description;
    let grow_to = (has.partitions < wished.partitions).then_some(wished.partitions);
    let config = config_drift(wished, topic);
    let step = if grow_to.is_none() && config.is_empty() {
        TopicStep::Keep
    } else {
        TopicStep::Change { grow_to, config }
    };
    let complaint = if has.partitions > wished.partitions {
        Some(format!(
            "has {} partitions, {} are declared, and Kafka cannot remove any: set topic.partitions to {}",
            has.partitions, wished.partitions, has.partitions
        ))
    } else if has.replication_factor == wished.replication_factor {
        None
    } else {
        Some(format!(
            "has {} replicas, {} are declared: reassign its partitions or set topic.replicationFactor to {}",
            has.replication_factor, wished.replication_factor, has.replication_factor
        ))
    };
    let differs = |text| Complaint::new(Reason::TopicDiffers, format!("topic {} {text}", wished.name));
    (step, complaint.map(differs))
}

/// How a topic that is not ours to change differs from the declared one.
fn foreign_difference(wished: &WishedTopic, topic: &TopicState) -> Option<Complaint> {
    let has = &topic.description;
    let mut differences = Vec::new();
    if has.partitions != wished.partitions {
        differences.push(format!("partitions is {}, not {}", has.partitions, wished.partitions));
    }
    if has.replication_factor != wished.replication_factor {
        differences.push(format!(
            "replicationFactor is {}, not {}",
            has.replication_factor, wished.replication_factor
        ));
    }
    for (name, value) in config_drift(wished, topic) {
        let found = topic.config.get(&name).map_or("not set", String::as_str);
        differences.push(format!("{name} is {found}, not {value}"));
    }
    if differences.is_empty() {
        return None;
    }
    let message = format!(
        "topic {} exists already and is not as declared: {}; change the topic or the spec, or name another topic",
        wished.name,
        differences.join(", ")
    );
    Some(Complaint::new(Reason::TopicDiffers, message))
}

/// The declared settings that the topic has otherwise.
fn config_drift(wished: &WishedTopic, topic: &TopicState) -> BTreeMap<String, String> {
    let differs = |(name, value): &(&String, &String)| topic.config.get(*name) != Some(*value);
    wished.config.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect()
}
