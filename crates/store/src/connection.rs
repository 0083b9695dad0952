//! Where a database is, and how each side proves who it is.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sqlx::postgres::PgConnectOptions;

use crate::error::StoreError;

/// A database's address with the credentials in it. No text shows them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DatabaseConnection {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE` or `sqlite://PATH`.
    pub url: String,
    /// The database, if it is another than the URL's.
    pub database: Option<String>,
    /// TLS, the server's certificate and its name verified (PostgreSQL's `verify-full`); without it, the URL decides.
    pub tls: Option<DatabaseTls>,
}

/// TLS to a database.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct DatabaseTls {
    /// The certificates of those who are trusted beside those that the machine trusts (PEM).
    pub ca_pem: Option<String>,
    /// What the client shows of itself: a certificate and its private key (PEM).
    pub client_certificate: Option<[String; 2]>,
}

impl DatabaseConnection {
    /// The database that the URL names, where that is PostgreSQL's and can be read.
    #[must_use]
    pub fn database_of_url(&self) -> Option<String> {
        let options = PgConnectOptions::from_str(&self.url).ok()?;
        options.get_database().map(str::to_owned)
    }

    /// The server's host and port, where the URL is PostgreSQL's and can be read.
    #[must_use]
    pub fn server(&self) -> Option<(String, u16)> {
        let options = PgConnectOptions::from_str(&self.url).ok()?;
        Some((options.get_host().to_owned(), options.get_port()))
    }
}

impl DatabaseTls {
    /// Refuses what holds no certificate or key, in our own words: those of the libraries below repeat the text, and with
    /// it a key.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let holds_certificates = |pem: &str| {
            let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
            certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
        };
        let refuse_unless =
            |holds: bool, what| if holds { Ok(()) } else { Err(StoreError::InvalidPem(what)) };
        if let Some(ca_pem) = &self.ca_pem {
            refuse_unless(holds_certificates(ca_pem), "the CA's text holds no certificate, or a broken one")?;
        }
        if let Some([certificate_pem, key_pem]) = &self.client_certificate {
            let holds = holds_certificates(certificate_pem);
            refuse_unless(holds, "the client certificate's text holds no certificate, or a broken one")?;
            let holds = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).is_ok();
            refuse_unless(holds, "the text of the client certificate's key holds no private key")?;
        }
        Ok(())
    }
}

impl<T: Into<String>> From<T> for DatabaseConnection {
    fn from(url: T) -> Self {
        Self { url: url.into(), database: None, tls: None }
    }
}

impl fmt::Debug for DatabaseConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DatabaseConnection(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_shows_a_password() {
        let text = format!("{:?}", DatabaseConnection::from("postgres://market:s3cret@db/market"));
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[test]
    fn what_is_no_certificate_is_refused_without_being_repeated() {
        let told = |ca_pem: &str, certificate: Option<[&str; 2]>| {
            let client_certificate = certificate.map(|texts| texts.map(str::to_owned));
            let tls = DatabaseTls { ca_pem: Some(ca_pem.to_owned()), client_certificate };
            tls.check().unwrap_err().to_string()
        };
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        // Newlines lost on the way.
        let key = "-----BEGIN PRIVATE KEY-----s3cret-----END PRIVATE KEY-----";
        for (ca, certificate, words) in [
            ("s3cret", None, "the CA's text holds no certificate"),
            (key, None, "the CA's text holds no certificate"),
            (empty, Some(["s3cret", key]), "the client certificate's text holds no certificate"),
            (empty, Some([empty, key]), "the client certificate's key holds no private key"),
        ] {
            let message = told(ca, certificate);
            assert!(message.contains(words) && !message.contains("s3cret"), "{message}");
        }
    }
}
