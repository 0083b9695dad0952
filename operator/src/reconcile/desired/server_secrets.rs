//! What the pods are given of the Secrets for broker and database. Nothing of it stands in a pod's spec.

use crds::worker_settings::DATABASE_URL_ENV;
use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, KeyToPath, ProjectedVolumeSource, SecretKeySelector, SecretProjection, Volume,
    VolumeMount, VolumeProjection,
};

use super::deployment::mount;
use crate::reconcile::plan::{DATABASE_FOLDER, KAFKA_FOLDER, SecretFile, SecretsPlan, WorkloadsPlan};

const KAFKA_CHECKSUM: &str = "cryptopipeline.dev/kafka-checksum";
const DATABASE_CHECKSUM: &str = "cryptopipeline.dev/database-checksum";
/// The volumes.
const KAFKA: &str = "kafka-secrets";
const DATABASE: &str = "database-secrets";

/// The Secrets of the servers that a role talks to.
#[derive(Clone, Copy)]
pub(super) struct ServerSecrets<'a> {
    secrets: Option<&'a SecretsPlan>,
    uses_database: bool,
}

impl<'a> ServerSecrets<'a> {
    /// Of a role that talks to the broker only.
    pub(super) const fn of_kafka(workloads: &'a WorkloadsPlan) -> Self {
        Self { secrets: workloads.secrets.as_ref(), uses_database: false }
    }

    /// Of a role that talks to both.
    pub(super) const fn of_kafka_and_database(workloads: &'a WorkloadsPlan) -> Self {
        Self { secrets: workloads.secrets.as_ref(), uses_database: true }
    }

    fn of_database(self) -> Option<&'a SecretsPlan> {
        self.secrets.filter(|_| self.uses_database)
    }

    /// The database's URL, from its Secret.
    pub(super) fn env(self) -> Vec<EnvVar> {
        let url = self.of_database().map(|secrets| EnvVar {
            name: DATABASE_URL_ENV.to_owned(),
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: secrets.database_url.name.clone(),
                    key: secrets.database_url.key.clone(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            }),
            value: None,
        });
        url.into_iter().collect()
    }

    /// What replaces the pods when a Secret changes.
    pub(super) fn checksums(self) -> impl Iterator<Item = (String, String)> {
        let kafka = self.secrets.and_then(|secrets| secrets.kafka_checksum.clone());
        let kafka = kafka.map(|checksum| (KAFKA_CHECKSUM.to_owned(), checksum));
        let database = self.of_database();
        let database =
            database.map(|secrets| (DATABASE_CHECKSUM.to_owned(), secrets.database_checksum.clone()));
        kafka.into_iter().chain(database)
    }

    /// Those that there are files for: the volume, its folder and the files.
    fn files(self) -> impl Iterator<Item = (&'static str, &'static str, &'a [SecretFile])> {
        let kafka = self.secrets.map(|secrets| (KAFKA, KAFKA_FOLDER, secrets.kafka_files.as_slice()));
        let database = self.of_database();
        let database = database.map(|secrets| (DATABASE, DATABASE_FOLDER, secrets.database_files.as_slice()));
        kafka.into_iter().chain(database).filter(|(_, _, files)| !files.is_empty())
    }

    /// The volumes of the files.
    pub(super) fn volumes(self) -> impl Iterator<Item = Volume> {
        self.files().map(|(name, _, files)| Volume {
            name: name.to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(files.iter().map(projection).collect()),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        })
    }

    /// Where they are mounted.
    pub(super) fn mounts(self) -> impl Iterator<Item = VolumeMount> {
        self.files().map(|(name, folder, _)| mount(name, folder, true))
    }
}

fn projection(file: &SecretFile) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: file.secret.clone(),
            items: Some(vec![KeyToPath { key: file.key.clone(), path: file.file.to_owned(), mode: None }]),
            optional: file.optional.then_some(true),
        }),
        ..VolumeProjection::default()
    }
}
