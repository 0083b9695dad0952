//! How every program reaches the broker: one place that turns connection settings into librdkafka's.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

/// Where the broker is and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KafkaConnection {
    /// Comma-separated `host:port` list.
    pub bootstrap_servers: String,
    /// librdkafka settings that go over ours.
    pub client_config: BTreeMap<String, String>,
}

impl KafkaConnection {
    /// The librdkafka settings of a client: first the connection, then `role_defaults`, then the user's own.
    #[must_use]
    pub fn client_config(&self, client_id: &str, role_defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", client_id)
            // Asking about a topic must never create it with the broker's own defaults.
            .set("allow.auto.create.topics", "false")
            // The default of five minutes would leave grown partitions unread for as long.
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("reconnect.backoff.max.ms", "5000")
            // With connections only where they are needed, librdkafka 2.12 tries one after the other without a pause while
            // a request waits for a broker that is away: each failure wakes the request, which asks for a connection.
            .set("enable.sparse.connections", "false");
        for (name, value) in role_defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.client_config {
            config.set(name, value);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_settings_go_over_the_roles_and_the_roles_over_the_common_ones() {
        let user = BTreeMap::from([("linger.ms".to_owned(), "50".to_owned())]);
        let connection = KafkaConnection { bootstrap_servers: "broker:9092".into(), client_config: user };
        let config =
            connection.client_config("test", &[("linger.ms", "5"), ("reconnect.backoff.max.ms", "1")]);
        assert_eq!(config.get("linger.ms"), Some("50"));
        assert_eq!(config.get("reconnect.backoff.max.ms"), Some("1"));
        assert_eq!(config.get("bootstrap.servers"), Some("broker:9092"));
    }
}
