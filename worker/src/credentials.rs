//! The credentials that a worker's settings point to, read from the files that its pod has of the Secrets. Read once: a
//! changed Secret replaces the pod.

use std::io;
use std::path::{Path, PathBuf};

use crds::worker_settings::{CertificateFiles, KafkaSettings, SaslFiles, TlsFiles};
use runtime::kafka::{ClientCertificate, KafkaConnection, KafkaSasl, KafkaSecurity, KafkaTls};
use store::{DatabaseConnection, DatabaseTls};

/// A file that the settings name and that holds no credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("settings: the file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("settings: the file {} is empty", .0.display())]
    Empty(PathBuf),
}

/// How to reach the broker.
///
/// # Errors
/// [`CredentialsError`] for a file that cannot be used.
pub fn kafka_connection(settings: &KafkaSettings) -> Result<KafkaConnection, CredentialsError> {
    let KafkaSettings { bootstrap_servers, tls, sasl, client_config, .. } = settings;
    let security = KafkaSecurity {
        tls: tls.as_ref().map(kafka_tls).transpose()?,
        sasl: sasl.as_ref().map(kafka_sasl).transpose()?,
    };
    Ok(KafkaConnection {
        bootstrap_servers: bootstrap_servers.clone(),
        security,
        client_config: client_config.clone(),
    })
}

/// How to reach the database at `url`.
///
/// # Errors
/// [`CredentialsError`] for a file that cannot be used.
pub fn database_connection(
    url: String,
    tls: Option<&TlsFiles>,
) -> Result<DatabaseConnection, CredentialsError> {
    let read = |files: &TlsFiles| {
        let certificate = files
            .client_certificate
            .as_ref()
            .map(|files| Ok([read_text(&files.certificate_file)?, read_text(&files.key_file)?]));
        Ok(DatabaseTls { ca_pem: ca_pem(files)?, client_certificate: certificate.transpose()? })
    };
    Ok(DatabaseConnection { url, database: None, tls: tls.map(read).transpose()? })
}

fn kafka_tls(files: &TlsFiles) -> Result<KafkaTls, CredentialsError> {
    let certificate = |CertificateFiles { certificate_file, key_file }: &CertificateFiles| {
        Ok(ClientCertificate { certificate_pem: read_text(certificate_file)?, key_pem: read_text(key_file)? })
    };
    let client_certificate = files.client_certificate.as_ref().map(certificate).transpose()?;
    Ok(KafkaTls { ca_pem: ca_pem(files)?, client_certificate })
}

fn ca_pem(files: &TlsFiles) -> Result<Option<String>, CredentialsError> {
    files.ca_file.as_deref().map(read_text).transpose()
}

fn kafka_sasl(files: &SaslFiles) -> Result<KafkaSasl, CredentialsError> {
    let SaslFiles { mechanism, username_file, username_without_file, password_file } = files;
    let username = read_text(username_file).or_else(|error| username_without_file.clone().ok_or(error))?;
    Ok(KafkaSasl { mechanism: mechanism.to_string(), username, password: read_text(password_file)? })
}

/// Without the end of the line that an editor leaves.
fn read_text(path: &Path) -> Result<String, CredentialsError> {
    let unreadable = |source| CredentialsError::Unreadable { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let text = text.trim();
    if text.is_empty() { Err(CredentialsError::Empty(path.to_owned())) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use crds::security::SaslMechanism;

    use super::*;

    fn sasl(folder: &Path) -> SaslFiles {
        SaslFiles {
            mechanism: SaslMechanism::ScramSha512,
            username_file: folder.join("username"),
            username_without_file: Some("kafka-user".to_owned()),
            password_file: folder.join("password"),
        }
    }

    #[test]
    fn a_user_without_a_name_of_its_own_is_called_like_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "s3cret\n").unwrap();
        let read = kafka_sasl(&sasl(folder.path())).unwrap();
        assert_eq!((read.username.as_str(), read.password.as_str()), ("kafka-user", "s3cret"));
        std::fs::write(folder.path().join("username"), "market").unwrap();
        assert_eq!(kafka_sasl(&sasl(folder.path())).unwrap().username, "market");
    }

    #[test]
    fn a_file_that_is_not_there_or_empty_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = kafka_sasl(&sasl(folder.path())).unwrap_err().to_string();
        assert!(missing.contains("password cannot be read"), "{missing}");
        std::fs::write(folder.path().join("password"), " \n").unwrap();
        let empty = kafka_sasl(&sasl(folder.path())).unwrap_err().to_string();
        assert!(empty.ends_with("password is empty"), "{empty}");
    }
}
