//! Where a database is, and how each side proves who it is.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::error::StoreError;

/// A database's address with the credentials in it. No text shows them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DatabaseConnection {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, `mysql://` the same, or `sqlite://PATH`.
    pub url: String,
    /// The database, if it is another than the URL's. MySQL knows only schemas, which have their own names.
    pub database: Option<String>,
    /// TLS, the server's certificate and its name verified (PostgreSQL's `verify-full`, MySQL's `VERIFY_IDENTITY`); without it, the URL decides.
    pub tls: Option<DatabaseTls>,
}

/// The kinds of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Postgres,
    MySql,
    Sqlite,
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
    /// Which kind of database the URL is of; `None` where it is of none that is known here.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        match self.url.split_once(':')?.0 {
            "postgres" | "postgresql" => Some(Scheme::Postgres),
            "mysql" | "mariadb" => Some(Scheme::MySql),
            "sqlite" => Some(Scheme::Sqlite),
            _ => None,
        }
    }

    pub(crate) fn unknown_scheme(&self) -> StoreError {
        let scheme = self.url.split_once(':').map_or("none", |(scheme, _)| scheme);
        StoreError::InvalidUrl(format!(
            "scheme {scheme:?} is not one of postgres, postgresql, mysql, mariadb, sqlite"
        ))
    }

    /// The database that the URL names, where that is PostgreSQL's and can be read. On MySQL a schema is a database.
    #[must_use]
    pub fn database_of_url(&self) -> Option<String> {
        let options = match self.scheme()? {
            Scheme::Postgres => PgConnectOptions::from_str(&self.url).ok()?,
            Scheme::MySql | Scheme::Sqlite => return None,
        };
        options.get_database().map(str::to_owned)
    }

    /// The server's host and port, where there is one and the URL can be read.
    #[must_use]
    pub fn server(&self) -> Option<(String, u16)> {
        match self.scheme()? {
            Scheme::Postgres => {
                let options = PgConnectOptions::from_str(&self.url).ok()?;
                Some((options.get_host().to_owned(), options.get_port()))
            }
            Scheme::MySql => {
                let options = MySqlConnectOptions::from_str(&self.url).ok()?;
                Some((options.get_host().to_owned(), options.get_port()))
            }
            Scheme::Sqlite => None,
        }
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
    fn a_server_is_where_its_url_says() {
        let server = |url: &str| DatabaseConnection::from(url).server();
        assert_eq!(server("postgres://market@db/market"), Some(("db".to_owned(), 5432)));
        assert_eq!(server("mysql://market:x@db.trading/market"), Some(("db.trading".to_owned(), 3306)));
        assert_eq!(server("mariadb://market@db:3307"), Some(("db".to_owned(), 3307)));
        assert_eq!(server("sqlite://market.db"), None);
        let unknown = DatabaseConnection::from("oracle://market:s3cret@db").unknown_scheme().to_string();
        assert!(unknown.contains("\"oracle\"") && !unknown.contains("s3cret"), "{unknown}");
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
