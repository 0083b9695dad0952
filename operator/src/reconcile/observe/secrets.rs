//! What the Secrets hold that a spec refers to. They are read by name, never listed.

use std::collections::{BTreeMap, BTreeSet};

use crds::CryptoPipelineSpec;
use crds::condition::Reason;
use crds::security::{
    CaSecret, ClientCertificateSecret, DATABASE_CERTIFICATE_KEYS, KAFKA_CERTIFICATE_KEYS, SaslSpec,
    SecretKey, TlsSpec, USERNAME_KEY,
};
use crds::spec::{DatabaseSpec, KafkaSpec};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use runtime::kafka::{ClientCertificate, KafkaSasl, KafkaSecurity, KafkaTls};
use store::{DatabaseConnection, DatabaseTls};

use super::{SecretState, Server};
use crate::reconcile::desired::checksum;

/// The Secrets of a namespace that a spec names. No text shows what they hold.
pub struct Secrets(BTreeMap<String, Result<Option<Secret>, String>>);

/// Why a Secret does not give what it is there for, and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretProblem {
    /// In a word.
    pub reason: Reason,
    /// In a sentence.
    pub message: String,
}

/// How to reach a database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseAccess {
    /// As the workers do.
    pub workers: DatabaseConnection,
    /// As one who may create tables; the same where the spec names nobody else.
    pub admin: DatabaseConnection,
}

/// What the Secrets of a pipeline give.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// How broker and clients prove who they are.
    pub kafka: Result<KafkaSecurity, SecretProblem>,
    /// How the database is reached.
    pub database: Result<DatabaseAccess, SecretProblem>,
}

impl Credentials {
    /// Whether every Secret gave what it is there for.
    pub(in crate::reconcile) const fn are_complete(&self) -> bool {
        self.kafka.is_ok() && self.database.is_ok()
    }

    /// What may be told of them: of the broker's and of the database's.
    pub(super) fn states(&self) -> [SecretState; 2] {
        let kafka = match &self.kafka {
            Ok(security) if *security == KafkaSecurity::default() => SecretState::NotNeeded,
            Ok(security) => SecretState::Found { checksum: kafka_checksum(security), server: None },
            Err(problem) => SecretState::Missing(problem.clone()),
        };
        let database = match &self.database {
            Ok(access) => SecretState::Found {
                checksum: database_checksum(&access.workers),
                server: access.workers.server().map(Server::from),
            },
            Err(problem) => SecretState::Missing(problem.clone()),
        };
        [kafka, database]
    }
}

/// Something that is needed of a Secret.
struct Needed<'a> {
    /// The field that names the Secret.
    field: &'static str,
    /// What it is to hold.
    what: &'static str,
    name: &'a str,
    key: &'a str,
}

/// What the fields of a TLS section are called, and which keys they stand for: the broker's and the database's.
struct TlsFields {
    ca: &'static str,
    certificate: &'static str,
    certificate_keys: [&'static str; 2],
}

const KAFKA_TLS: TlsFields = TlsFields {
    ca: "spec.kafka.tls.caSecret",
    certificate: "spec.kafka.tls.clientCertificateSecret",
    certificate_keys: KAFKA_CERTIFICATE_KEYS,
};
const DATABASE_TLS: TlsFields = TlsFields {
    ca: "spec.database.tls.caSecret",
    certificate: "spec.database.tls.clientCertificateSecret",
    certificate_keys: DATABASE_CERTIFICATE_KEYS,
};

impl Secrets {
    /// Reads every Secret that `spec` names.
    pub async fn read(client: &Client, namespace: &str, spec: &CryptoPipelineSpec) -> Self {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let read = async |name: &str| {
            let found = secrets.get_opt(name).await.map_err(|error| error.to_string());
            (name.to_owned(), found)
        };
        Self(join_all(names(spec).into_iter().map(read)).await.into_iter().collect())
    }

    /// The Secrets of `found`, and no others.
    #[must_use]
    pub fn of(found: impl IntoIterator<Item = (String, Secret)>) -> Self {
        Self(found.into_iter().map(|(name, secret)| (name, Ok(Some(secret)))).collect())
    }

    /// How broker and clients prove who they are.
    ///
    /// # Errors
    /// The first Secret that does not give what it is there for.
    pub fn kafka_security(&self, kafka: &KafkaSpec) -> Result<KafkaSecurity, SecretProblem> {
        let tls = |tls: &TlsSpec| {
            let certificate = self.client_certificate(tls, &KAFKA_TLS)?;
            let client_certificate =
                certificate.map(|[certificate_pem, key_pem]| ClientCertificate { certificate_pem, key_pem });
            Ok(KafkaTls { ca_pem: self.ca_pem(tls, &KAFKA_TLS)?, client_certificate })
        };
        Ok(KafkaSecurity {
            tls: kafka.tls.as_ref().map(tls).transpose()?,
            sasl: kafka.sasl.as_ref().map(|sasl| self.kafka_sasl(sasl)).transpose()?,
        })
    }

    /// How workers and operator reach the database: the same one, whatever the administrator's URL says.
    ///
    /// # Errors
    /// The first Secret that does not give what it is there for.
    pub fn database_access(&self, database: &DatabaseSpec) -> Result<DatabaseAccess, SecretProblem> {
        let workers = self.worker_connection(database)?;
        let admin = match &database.admin_secret {
            Some(secret) => DatabaseConnection {
                url: self.database_url("spec.database.adminSecret", secret)?,
                database: workers.database_of_url(),
                tls: workers.tls.clone(),
            },
            None => workers.clone(),
        };
        Ok(DatabaseAccess { workers, admin })
    }

    /// How workers reach the database.
    ///
    /// # Errors
    /// The first Secret that does not give what it is there for.
    pub fn worker_connection(&self, database: &DatabaseSpec) -> Result<DatabaseConnection, SecretProblem> {
        let tls = |tls: &TlsSpec| {
            Ok(DatabaseTls {
                ca_pem: self.ca_pem(tls, &DATABASE_TLS)?,
                client_certificate: self.client_certificate(tls, &DATABASE_TLS)?,
            })
        };
        let url = self.database_url("spec.database.connectionSecret", &database.connection_secret)?;
        let tls = database.tls.as_ref().map(tls).transpose()?;
        Ok(DatabaseConnection { url, database: None, tls })
    }

    fn database_url(
        &self,
        field: &'static str,
        SecretKey { name, key }: &SecretKey,
    ) -> Result<String, SecretProblem> {
        self.text(&Needed { field, what: "the database's URL", name, key })
    }

    fn kafka_sasl(&self, sasl: &SaslSpec) -> Result<KafkaSasl, SecretProblem> {
        let secret = &sasl.credentials_secret;
        let needed =
            |what, key| Needed { field: "spec.kafka.sasl.credentialsSecret", what, name: &secret.name, key };
        let password = self.text(&needed("the user's password", &secret.password))?;
        let username = match &secret.username {
            Some(key) => self.text(&needed("the user's name", key))?,
            None => {
                self.text(&needed("the user's name", USERNAME_KEY)).unwrap_or_else(|_| secret.name.clone())
            }
        };
        Ok(KafkaSasl { mechanism: sasl.mechanism.to_string(), username, password })
    }

    fn ca_pem(&self, tls: &TlsSpec, fields: &TlsFields) -> Result<Option<String>, SecretProblem> {
        let Some(CaSecret { name, key }) = &tls.ca_secret else { return Ok(None) };
        let what = "the certificates of those who are trusted (PEM)";
        self.text(&Needed { field: fields.ca, what, name, key }).map(Some)
    }

    fn client_certificate(
        &self,
        tls: &TlsSpec,
        fields: &TlsFields,
    ) -> Result<Option<[String; 2]>, SecretProblem> {
        let Some(secret) = &tls.client_certificate_secret else { return Ok(None) };
        let ClientCertificateSecret { name, .. } = secret;
        let [certificate, key] = secret.keys(fields.certificate_keys);
        let text = |what, key| self.text(&Needed { field: fields.certificate, what, name, key });
        Ok(Some([text("the certificate (PEM)", certificate)?, text("its private key (PEM)", key)?]))
    }

    fn text(&self, needed: &Needed<'_>) -> Result<String, SecretProblem> {
        let Needed { field, what, name, key } = needed;
        let problem = |reason, message| SecretProblem { reason, message };
        let secret = match self.0.get(*name) {
            Some(Ok(Some(secret))) => secret,
            Some(Err(error)) => {
                let message = format!("Secret {name} cannot be read: {error}");
                return Err(problem(Reason::SecretUnreadable, message));
            }
            Some(Ok(None)) | None => {
                let message = format!(
                    "Secret {name} does not exist: create it with {what} under the key {key} ({field} names it)"
                );
                return Err(problem(Reason::SecretNotFound, message));
            }
        };
        text_of(secret, key).ok_or_else(|| {
            let message =
                format!("Secret {name} has no text under the key {key}: put {what} there ({field} names it)");
            problem(Reason::SecretKeyNotFound, message)
        })
    }
}

/// The names of all Secrets that `spec` refers to.
fn names(spec: &CryptoPipelineSpec) -> BTreeSet<&str> {
    let tls = spec.kafka.iter().filter_map(|kafka| kafka.tls.as_ref());
    let tls = tls.chain(spec.database.iter().filter_map(|database| database.tls.as_ref()));
    let of_tls = tls.flat_map(|tls| {
        let ca = tls.ca_secret.iter().map(|secret| &secret.name);
        ca.chain(tls.client_certificate_secret.iter().map(|secret| &secret.name))
    });
    let sasl = spec.kafka.iter().filter_map(|kafka| kafka.sasl.as_ref());
    let of_database = spec.database.iter().flat_map(|database| {
        std::iter::once(&database.connection_secret).chain(&database.admin_secret).map(|secret| &secret.name)
    });
    of_tls
        .chain(sasl.map(|sasl| &sasl.credentials_secret.name))
        .chain(of_database)
        .map(String::as_str)
        .collect()
}

/// As the API server gives it, or as it stands in a file.
fn text_of(secret: &Secret, key: &str) -> Option<String> {
    let written = secret.string_data.as_ref().and_then(|texts| texts.get(key)).map(String::as_str);
    let stored = || std::str::from_utf8(&secret.data.as_ref()?.get(key)?.0).ok();
    let text = written.or_else(stored)?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Changes with what the pods are given of it; tells nothing of it.
fn kafka_checksum(security: &KafkaSecurity) -> String {
    let KafkaSecurity { tls, sasl } = security;
    let tls = tls.iter().flat_map(|KafkaTls { ca_pem, client_certificate }| {
        let certificate =
            client_certificate.iter().flat_map(|files| [&files.certificate_pem, &files.key_pem]);
        ca_pem.iter().chain(certificate)
    });
    checksum_of(tls.chain(sasl.iter().flat_map(|sasl| [&sasl.username, &sasl.password])))
}

/// Changes with what the pods are given of it; tells nothing of it.
fn database_checksum(connection: &DatabaseConnection) -> String {
    let tls = connection.tls.iter().flat_map(|DatabaseTls { ca_pem, client_certificate }| {
        ca_pem.iter().chain(client_certificate.iter().flatten())
    });
    checksum_of(std::iter::once(&connection.url).chain(tls))
}

fn checksum_of<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    checksum(&texts.map(String::as_str).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn secrets(found: &[(&str, Value)]) -> Secrets {
        let secret = |data: &Value| serde_json::from_value(json!({"stringData": data})).unwrap();
        Secrets::of(found.iter().map(|(name, data)| ((*name).to_owned(), secret(data))))
    }

    fn kafka(security: Value) -> KafkaSpec {
        let mut spec = json!({"bootstrapServers": "kafka:9093", "topic": {"name": "trades"}});
        spec.as_object_mut().unwrap().extend(security.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn database(spec: Value) -> DatabaseSpec {
        serde_json::from_value(spec).unwrap()
    }

    /// As Strimzi 0.47 writes them.
    #[test]
    fn the_secrets_of_strimzis_users_are_taken_as_they_are() {
        let found = secrets(&[
            (
                "my-scram-user",
                json!({
                    "password": "s3cret",
                    "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required \
                                         username=\"my-scram-user\" password=\"s3cret\";",
                }),
            ),
            (
                "my-tls-user",
                json!({"ca.crt": "CLIENTS-CA", "user.crt": "CERT", "user.key": "KEY", "user.p12": "."}),
            ),
            ("my-cluster-cluster-ca-cert", json!({"ca.crt": "CLUSTER-CA", "ca.password": "x"})),
        ]);
        let spec = kafka(json!({
            "tls": {
                "caSecret": {"name": "my-cluster-cluster-ca-cert"},
                "clientCertificateSecret": {"name": "my-tls-user"},
            },
            "sasl": {"mechanism": "SCRAM-SHA-512", "credentialsSecret": {"name": "my-scram-user"}},
        }));
        let KafkaSecurity { tls, sasl } = found.kafka_security(&spec).unwrap();
        let certificate = ClientCertificate { certificate_pem: "CERT".into(), key_pem: "KEY".into() };
        let expected = KafkaTls { ca_pem: Some("CLUSTER-CA".into()), client_certificate: Some(certificate) };
        assert_eq!(tls, Some(expected));
        let sasl = sasl.unwrap();
        assert_eq!(
            (sasl.mechanism.as_str(), sasl.username.as_str(), sasl.password.as_str()),
            ("SCRAM-SHA-512", "my-scram-user", "s3cret")
        );
    }

    /// As CloudNativePG 1.26 writes them.
    #[test]
    fn the_secrets_of_cloudnativepg_are_taken_as_they_are() {
        let uri = "postgresql://app:s3cret@market-db-rw.trading:5432/app";
        let app = json!({
            "dbname": "app", "host": "market-db-rw", "port": "5432", "user": "app", "username": "app",
            "password": "s3cret", "uri": uri, "jdbc-uri": "jdbc:postgresql://..", "pgpass": "..",
        });
        let found = secrets(&[("market-db-app", app), ("market-db-ca", json!({"ca.crt": "CA"}))]);
        let spec = database(json!({
            "connectionSecret": {"name": "market-db-app"},
            "tls": {"caSecret": {"name": "market-db-ca"}},
        }));
        let DatabaseAccess { workers, admin } = found.database_access(&spec).unwrap();
        assert_eq!(workers.url, uri);
        assert_eq!(workers.tls.as_ref().unwrap().ca_pem.as_deref(), Some("CA"));
        assert_eq!(workers, admin);
    }

    #[test]
    fn the_administrator_works_in_the_workers_database() {
        // CloudNativePG's superuser may enter every database, and its URL names none.
        let found = secrets(&[
            ("app", json!({"uri": "postgres://app:x@db/app"})),
            ("superuser", json!({"uri": "postgres://postgres:x@db:5432/*"})),
        ]);
        let names = json!({"connectionSecret": {"name": "app"}, "adminSecret": {"name": "superuser"}});
        let access = found.database_access(&database(names)).unwrap();
        assert_eq!(access.admin.database.as_deref(), Some("app"));
    }

    #[test]
    fn what_a_secret_lacks_is_told_with_the_field_that_names_it() {
        let found = secrets(&[("user", json!({"username": "market"}))]);
        let sasl = json!({"mechanism": "PLAIN", "credentialsSecret": {"name": "user"}});
        let problem = found.kafka_security(&kafka(json!({"sasl": sasl}))).unwrap_err();
        assert_eq!(problem.reason, Reason::SecretKeyNotFound);
        assert_eq!(
            problem.message,
            "Secret user has no text under the key password: put the user's password there \
             (spec.kafka.sasl.credentialsSecret names it)"
        );
        let problem =
            found.database_access(&database(json!({"connectionSecret": {"name": "db"}}))).unwrap_err();
        assert_eq!(problem.reason, Reason::SecretNotFound);
        assert_eq!(
            problem.message,
            "Secret db does not exist: create it with the database's URL under the key uri \
             (spec.database.connectionSecret names it)"
        );
    }

    #[test]
    fn a_user_is_called_as_the_secret_says() {
        let found = secrets(&[("user", json!({"username": "market", "login": "desk", "password": "x"}))]);
        let username = |secret: Value| {
            let sasl = json!({"mechanism": "SCRAM-SHA-256", "credentialsSecret": secret});
            found.kafka_security(&kafka(json!({"sasl": sasl}))).unwrap().sasl.unwrap().username
        };
        assert_eq!(username(json!({"name": "user"})), "market");
        assert_eq!(username(json!({"name": "user", "username": "login"})), "desk");
    }

    #[test]
    fn another_password_rolls_the_pods_that_use_it_and_no_others() {
        let checksums = |password: &str, url: &str, admin: &str| {
            let found = secrets(&[
                ("user", json!({"password": password})),
                ("db", json!({"uri": url})),
                ("admin", json!({"uri": admin})),
            ]);
            let sasl = json!({"mechanism": "PLAIN", "credentialsSecret": {"name": "user"}});
            let names = json!({"connectionSecret": {"name": "db"}, "adminSecret": {"name": "admin"}});
            let credentials = Credentials {
                kafka: found.kafka_security(&kafka(json!({"sasl": sasl}))),
                database: found.database_access(&database(names)),
            };
            credentials.states()
        };
        let before = checksums("a", "postgres://a", "postgres://admin");
        let [kafka, database] = checksums("b", "postgres://a", "postgres://admin");
        assert!(kafka != before[0] && database == before[1]);
        let [kafka, database] = checksums("a", "postgres://b", "postgres://admin");
        assert!(kafka == before[0] && database != before[1]);
        // The workers do not know the administrator.
        assert_eq!(checksums("a", "postgres://a", "postgres://other"), before);
    }
}
