//! How every program reaches the broker: one place that turns connection settings into librdkafka's.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

/// Where the broker is and how to speak to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KafkaConnection {
    /// Comma-separated `host:port` list.
    pub bootstrap_servers: String,
    /// How each side proves who it is.
    pub security: KafkaSecurity,
    /// librdkafka settings that go over ours.
    pub client_config: BTreeMap<String, String>,
}

/// How broker and client prove who they are; by default they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KafkaSecurity {
    /// TLS, the broker's certificate and its name verified.
    pub tls: Option<KafkaTls>,
    /// A name and a password.
    pub sasl: Option<KafkaSasl>,
}

/// TLS to a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KafkaTls {
    /// The certificates of those who are trusted (PEM); the machine's own where absent.
    pub ca_pem: Option<String>,
    /// What the client shows of itself.
    pub client_certificate: Option<ClientCertificate>,
}

/// A certificate and its private key. No text shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientCertificate {
    /// The certificate, those that it was signed with after it (PEM).
    pub certificate_pem: String,
    /// The private key (PEM).
    pub key_pem: String,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientCertificate(..)")
    }
}

/// A name and a password for a broker. No text shows the password.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KafkaSasl {
    /// How the password is proven, by Kafka's name: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The user.
    pub username: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for KafkaSasl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, username, .. } = self;
        formatter
            .debug_struct("KafkaSasl")
            .field("mechanism", mechanism)
            .field("username", username)
            .finish_non_exhaustive()
    }
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
        self.security.add_to(&mut config);
        for (name, value) in role_defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.client_config {
            config.set(name, value);
        }
        config
    }
}

impl KafkaSecurity {
    fn add_to(&self, config: &mut ClientConfig) {
        config.set("security.protocol", self.protocol());
        if let Some(KafkaTls { ca_pem, client_certificate }) = &self.tls {
            match ca_pem {
                Some(ca_pem) => config.set("ssl.ca.pem", ca_pem),
                // By itself librdkafka would look only where the OpenSSL that it was built with looks.
                None => config.set("ssl.ca.location", "probe"),
            };
            if let Some(ClientCertificate { certificate_pem, key_pem }) = client_certificate {
                config.set("ssl.certificate.pem", certificate_pem).set("ssl.key.pem", key_pem);
            }
        }
        if let Some(KafkaSasl { mechanism, username, password }) = &self.sasl {
            config
                .set("sasl.mechanism", mechanism)
                .set("sasl.username", username)
                .set("sasl.password", password);
        }
    }

    const fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_settings_go_over_the_roles_and_the_roles_over_the_common_ones() {
        let user = BTreeMap::from([("linger.ms".to_owned(), "50".to_owned())]);
        let connection = KafkaConnection {
            bootstrap_servers: "broker:9092".into(),
            client_config: user,
            ..KafkaConnection::default()
        };
        let config =
            connection.client_config("test", &[("linger.ms", "5"), ("reconnect.backoff.max.ms", "1")]);
        assert_eq!(config.get("linger.ms"), Some("50"));
        assert_eq!(config.get("reconnect.backoff.max.ms"), Some("1"));
        assert_eq!(config.get("bootstrap.servers"), Some("broker:9092"));
    }

    #[test]
    fn no_text_shows_a_password_or_a_key() {
        let secret = || "s3cret".to_owned();
        let security = KafkaSecurity {
            tls: Some(KafkaTls {
                ca_pem: None,
                client_certificate: Some(ClientCertificate { certificate_pem: secret(), key_pem: secret() }),
            }),
            sasl: Some(KafkaSasl {
                mechanism: "PLAIN".into(),
                username: "market".into(),
                password: secret(),
            }),
        };
        let text = format!("{security:?}");
        assert!(text.contains("market") && !text.contains("s3cret"), "{text}");
    }
}
