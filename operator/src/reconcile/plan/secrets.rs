//! Where the pods find what the Secrets hold: as files, which the workers' settings name. The database's URL alone is an
//! environment variable.

use std::path::Path;

use crds::security::{DATABASE_CERTIFICATE_KEYS, KAFKA_CERTIFICATE_KEYS, SaslSpec, TlsSpec, USERNAME_KEY};
use crds::spec::{DatabaseSpec, KafkaSpec};
use crds::worker_settings::{CertificateFiles, SaslFiles, TlsFiles};

use super::{SecretFile, SecretsPlan};
use crate::reconcile::observe::{Observed, SecretState};

/// The folder of the files for the broker.
pub const KAFKA_FOLDER: &str = "/var/run/secrets/cryptopipeline/kafka";
/// The folder of the files for the database.
pub const DATABASE_FOLDER: &str = "/var/run/secrets/cryptopipeline/database";

const CA_FILE: &str = "ca.crt";
const CERTIFICATE_FILE: &str = "client.crt";
const KEY_FILE: &str = "client.key";
const USERNAME_FILE: &str = "username";
const PASSWORD_FILE: &str = "password";

/// What the pods are given.
pub(super) fn plan_secrets(kafka: &KafkaSpec, database: &DatabaseSpec, observed: &Observed) -> SecretsPlan {
    let of_tls = kafka.tls.iter().flat_map(|tls| tls_secrets(tls, KAFKA_CERTIFICATE_KEYS));
    let of_sasl = kafka.sasl.iter().flat_map(sasl_secrets);
    let of_database = database.tls.iter().flat_map(|tls| tls_secrets(tls, DATABASE_CERTIFICATE_KEYS));
    SecretsPlan {
        database_url: database.connection_secret.clone(),
        kafka_files: of_tls.chain(of_sasl).collect(),
        database_files: of_database.collect(),
        kafka_checksum: checksum(&observed.kafka_secrets),
        database_checksum: checksum(&observed.database_secrets).unwrap_or_default(),
    }
}

fn checksum(secrets: &SecretState) -> Option<String> {
    match secrets {
        SecretState::Found { checksum, .. } => Some(checksum.clone()),
        SecretState::Pending | SecretState::NotNeeded | SecretState::Missing(_) => None,
    }
}

/// Where a worker finds the broker's TLS files.
pub(super) fn kafka_tls(kafka: &KafkaSpec) -> Option<TlsFiles> {
    kafka.tls.as_ref().map(|tls| tls_files(tls, KAFKA_FOLDER))
}

/// Where a worker finds the database's TLS files.
pub(super) fn database_tls(database: &DatabaseSpec) -> Option<TlsFiles> {
    database.tls.as_ref().map(|tls| tls_files(tls, DATABASE_FOLDER))
}

/// Where a worker finds its name and password for the broker.
pub(super) fn kafka_sasl(kafka: &KafkaSpec) -> Option<SaslFiles> {
    kafka.sasl.as_ref().map(|SaslSpec { mechanism, credentials_secret }| SaslFiles {
        mechanism: *mechanism,
        username_file: Path::new(KAFKA_FOLDER).join(USERNAME_FILE),
        username_without_file: is_optional(&credentials_secret.username)
            .then(|| credentials_secret.name.clone()),
        password_file: Path::new(KAFKA_FOLDER).join(PASSWORD_FILE),
    })
}

/// Whether the Secret may hold no name: the user is then called like it.
const fn is_optional(username_key: &Option<String>) -> bool {
    username_key.is_none()
}

fn tls_files(tls: &TlsSpec, folder: &str) -> TlsFiles {
    let folder = Path::new(folder);
    TlsFiles {
        ca_file: tls.ca_secret.as_ref().map(|_| folder.join(CA_FILE)),
        client_certificate: tls.client_certificate_secret.as_ref().map(|_| CertificateFiles {
            certificate_file: folder.join(CERTIFICATE_FILE),
            key_file: folder.join(KEY_FILE),
        }),
    }
}

fn tls_secrets(tls: &TlsSpec, certificate_keys: [&str; 2]) -> Vec<SecretFile> {
    let ca = tls.ca_secret.iter().map(|ca| needed(CA_FILE, &ca.name, &ca.key));
    let certificate = tls.client_certificate_secret.iter().flat_map(|secret| {
        let [certificate, key] = secret.keys(certificate_keys);
        [needed(CERTIFICATE_FILE, &secret.name, certificate), needed(KEY_FILE, &secret.name, key)]
    });
    ca.chain(certificate).collect()
}

fn sasl_secrets(sasl: &SaslSpec) -> [SecretFile; 2] {
    let secret = &sasl.credentials_secret;
    let username_key = secret.username.as_deref().unwrap_or(USERNAME_KEY);
    let username = SecretFile {
        optional: is_optional(&secret.username),
        ..needed(USERNAME_FILE, &secret.name, username_key)
    };
    [username, needed(PASSWORD_FILE, &secret.name, &secret.password)]
}

fn needed(file: &'static str, secret: &str, key: &str) -> SecretFile {
    SecretFile { file, secret: secret.to_owned(), key: key.to_owned(), optional: false }
}
