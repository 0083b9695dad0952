//! How a pipeline proves who it is to its broker and its database, and how it knows them: always by Secrets of the resource's
//! own namespace, so that no manifest, status or log holds a credential. The defaults of the keys are those of Strimzi's
//! and CloudNativePG's Secrets, which are taken as they are.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One key of a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The Secret's name, such as `market-db`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The key in its data, such as `url`. Default `uri`, as CloudNativePG has it.
    #[serde(default = "default_uri_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn default_uri_key() -> String {
    "uri".into()
}

/// The certificates of those who are trusted.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaSecret {
    /// The Secret's name, such as `my-cluster-cluster-ca-cert` (Strimzi) or `market-db-ca` (CloudNativePG).
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The key that holds one or more certificates (PEM), such as `root.pem`. Default `ca.crt`.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".into()
}

/// A certificate of the pipeline's own, and its private key.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateSecret {
    /// The Secret's name, such as `market-user`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The key that holds the certificate (PEM), such as `client.pem`; by default `user.crt` for the broker, as Strimzi
    /// has it, and `tls.crt` for the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub certificate: Option<String>,

    /// The key that holds the private key (PEM, not encrypted), such as `client-key.pem`; by default `user.key` for the
    /// broker and `tls.key` for the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: Option<String>,
}

/// TLS to a server whose certificate is always verified, its name too.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// Whom the server's certificate must come from: for the broker nobody else, for the database those that the worker's
    /// image trusts are good too. By default one of the latter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<CaSecret>,

    /// How the pipeline shows who it is, where the server asks for a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret: Option<ClientCertificateSecret>,
}

/// A name and a password for the broker.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SaslSpec {
    /// How the password is proven.
    pub mechanism: SaslMechanism,

    /// Where name and password are.
    pub credentials_secret: CredentialsSecret,
}

/// How a password is proven to a broker, by Kafka's own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// By telling it: only fit for a connection with TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Without telling it (RFC 7677).
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Without telling it, with a longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// Kafka's name for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The Secret with a user's name and password.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsSecret {
    /// The Secret's name, such as `kafka-user`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The key that holds the user's name, such as `user`. By default `username` where the Secret has that key, else the
    /// user is called like the Secret, as Strimzi's users are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub username: Option<String>,

    /// The key that holds the password, such as `secret`. Default `password`.
    #[serde(default = "default_password_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub password: String,
}

fn default_password_key() -> String {
    "password".into()
}

/// The key of a user's name where none is named.
pub const USERNAME_KEY: &str = "username";

/// The keys of a client certificate that no spec names: of the certificate and of its private key.
pub const KAFKA_CERTIFICATE_KEYS: [&str; 2] = ["user.crt", "user.key"];
/// As [`KAFKA_CERTIFICATE_KEYS`], for the database: those of Kubernetes' own TLS Secrets.
pub const DATABASE_CERTIFICATE_KEYS: [&str; 2] = ["tls.crt", "tls.key"];

impl ClientCertificateSecret {
    /// The keys of certificate and private key, `by_default` those that are not named.
    #[must_use]
    pub fn keys<'a>(&'a self, by_default: [&'a str; 2]) -> [&'a str; 2] {
        [self.certificate.as_deref().unwrap_or(by_default[0]), self.key.as_deref().unwrap_or(by_default[1])]
    }
}
