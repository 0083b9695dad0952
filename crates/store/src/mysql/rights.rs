//! What a user may do who only reads and writes rows: the workers', where the operator connects as somebody else.

use sqlx::AssertSqlSafe;

use super::MySqlDatabase;
use crate::error::StoreError;

/// What a worker reads and does not write: it may not take the schema or say at which version it is, nor which views are ours.
const READ_ONLY: [&str; 4] = ["owner", "compatibility", "compatibility_views", "_sqlx_migrations"];

/// A right that a worker needs, as GRANT has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Right {
    privileges: &'static [&'static str],
    /// `TABLE` or `PROCEDURE`.
    kind: &'static str,
    name: String,
}

impl MySqlDatabase {
    /// The user that this connects as: `NAME@HOST`.
    pub(crate) async fn user(&self) -> Result<String, StoreError> {
        sqlx::query_scalar("SELECT CURRENT_USER()")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("read the name of the user"))
    }

    /// Whether `role` may do what a worker does, by what is granted to itself: what its roles have does not count.
    pub(crate) async fn may_write_rows(&self, role: &str) -> Result<bool, StoreError> {
        let failed = || StoreError::database("read the rights of the workers' user");
        let needed = self.needed().await.map_err(failed())?;
        let asking = format!("SHOW GRANTS FOR {}", account(role));
        let grants: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(asking)).fetch_all(&self.pool).await.map_err(failed())?;
        Ok(needed.iter().all(|right| right.is_granted(&self.schema, &grants)))
    }

    /// Lets `role` read everything and write rows.
    pub(crate) async fn grant_rows(&self, role: &str) -> Result<(), StoreError> {
        let failed = || StoreError::database("grant the workers' user its rights");
        for Right { privileges, kind, name } in self.needed().await.map_err(failed())? {
            let (schema, account) = (&self.schema, account(role));
            let granting = format!("GRANT {} ON {kind} {schema}.{name} TO {account}", privileges.join(", "));
            sqlx::query(AssertSqlSafe(granting)).execute(&self.pool).await.map_err(failed())?;
        }
        Ok(())
    }

    /// Of every table, view and procedure.
    async fn needed(&self) -> Result<Vec<Right>, sqlx::Error> {
        let tables: Vec<(String, bool)> = sqlx::query_as(
            "SELECT table_name, table_type = 'BASE TABLE' FROM information_schema.tables WHERE table_schema = ?",
        )
        .bind(&*self.schema)
        .fetch_all(&self.pool)
        .await?;
        let procedures: Vec<String> = sqlx::query_scalar(
            "SELECT routine_name FROM information_schema.routines WHERE routine_schema = ? AND routine_type = 'PROCEDURE'",
        )
        .bind(&*self.schema)
        .fetch_all(&self.pool)
        .await?;
        let of_table = |(name, is_table): (String, bool)| {
            let writes = is_table && !READ_ONLY.contains(&name.as_str());
            let privileges: &[&str] =
                if writes { &["SELECT", "INSERT", "UPDATE", "DELETE"] } else { &["SELECT"] };
            Right { privileges, kind: "TABLE", name }
        };
        let of_procedure = |name| Right { privileges: &["EXECUTE"], kind: "PROCEDURE", name };
        Ok(tables.into_iter().map(of_table).chain(procedures.into_iter().map(of_procedure)).collect())
    }
}

impl Right {
    fn is_granted(&self, schema: &str, grants: &[String]) -> bool {
        self.privileges
            .iter()
            .all(|privilege| grants.iter().any(|grant| self.is_in(privilege, schema, grant)))
    }

    /// Whether a line of SHOW GRANTS has it.
    fn is_in(&self, privilege: &str, schema: &str, grant: &str) -> bool {
        let Some((privileges, place)) = grant
            .strip_prefix("GRANT ")
            .and_then(|grant| grant.split_once(" ON "))
            .and_then(|(privileges, rest)| Some((privileges, rest.split_once(" TO ")?.0)))
        else {
            return false;
        };
        let has = privileges.split(", ").any(|granted| granted == privilege || granted == "ALL PRIVILEGES");
        // An underscore in the name of a database stands for any character, unless it is escaped.
        let place = place.replace(['`', '\\'], "");
        let itself = match self.kind {
            "TABLE" => format!("{schema}.{}", self.name),
            kind => format!("{kind} {schema}.{}", self.name),
        };
        has && (place == "*.*" || place == format!("{schema}.*") || place == itself)
    }
}

/// `NAME@HOST` in quotes, as GRANT wants it. A name may have an `@`, a host has none.
fn account(role: &str) -> String {
    let (name, host) = role.rsplit_once('@').unwrap_or((role, "%"));
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    format!("{}@{}", quoted(name), quoted(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_found_wherever_it_is_granted() {
        let writing = Right { privileges: &["SELECT", "INSERT"], kind: "TABLE", name: "trades".into() };
        let calling = Right { privileges: &["EXECUTE"], kind: "PROCEDURE", name: "make_day".into() };
        for (grant, writes, calls) in [
            ("GRANT USAGE ON *.* TO `market`@`%`", false, false),
            ("GRANT ALL PRIVILEGES ON *.* TO `market`@`%` WITH GRANT OPTION", true, true),
            ("GRANT SELECT, INSERT, EXECUTE ON `mar\\_ket`.* TO `market`@`%`", true, true),
            ("GRANT SELECT, INSERT ON `mar_ket`.`trades` TO `market`@`%`", true, false),
            ("GRANT SELECT, UPDATE ON `mar_ket`.`trades` TO `market`@`%`", false, false),
            ("GRANT SELECT, INSERT ON `mar_ket`.`candles` TO `market`@`%`", false, false),
            ("GRANT EXECUTE ON PROCEDURE `mar_ket`.`make_day` TO `market`@`%`", false, true),
            ("GRANT ALL PRIVILEGES ON `other`.* TO `market`@`%`", false, false),
        ] {
            let grants = [grant.to_owned()];
            let found = (writing.is_granted("mar_ket", &grants), calling.is_granted("mar_ket", &grants));
            assert_eq!(found, (writes, calls), "{grant}");
        }
    }

    #[test]
    fn accounts_are_quoted() {
        assert_eq!(account("market@10.0.0.%"), "'market'@'10.0.0.%'");
        assert_eq!(account("o'hara@home@%"), "'o''hara@home'@'%'");
    }
}
