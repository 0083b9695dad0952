//! Where a database is, and how each side proves who it is.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// A database's address with the credentials in it. No text shows them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DatabaseConnection {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE` or `sqlite://PATH`.
    pub url: String,
    /// TLS, the server's certificate and its name verified (PostgreSQL's `verify-full`); without it, the URL decides.
    pub tls: Option<DatabaseTls>,
}

/// TLS to a database.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct DatabaseTls {
    /// The certificates of those who are trusted (PEM); the machine's own where absent.
    pub ca_pem: Option<String>,
    /// What the client shows of itself: a certificate and its private key (PEM).
    pub client_certificate: Option<[String; 2]>,
}

impl DatabaseConnection {
    /// The user in the URL, where the URL is PostgreSQL's and can be read.
    #[must_use]
    pub fn username(&self) -> Option<String> {
        let options = PgConnectOptions::from_str(&self.url).ok()?;
        Some(options.get_username().to_owned())
    }
}

impl<T: Into<String>> From<T> for DatabaseConnection {
    fn from(url: T) -> Self {
        Self { url: url.into(), tls: None }
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
}
