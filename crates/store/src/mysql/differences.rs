//! What MySQL's tables are.

use super::MySqlDatabase;
use crate::differences::differences;
use crate::error::StoreError;

/// Everything that the migrations make, a line each, as [`LISTING`] tells it. A test keeps it true.
const EXPECTED: &str = include_str!("../../schema/mysql.txt");

/// Columns, keys, views and procedures. The types of a view's columns are not the same on every server.
const LISTING: &str = "
    SELECT CONCAT('column ', columns.table_name, '.', column_name, ' ', column_type, CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END)
    FROM information_schema.columns AS columns
    JOIN information_schema.tables AS tables
      ON tables.table_schema = columns.table_schema AND tables.table_name = columns.table_name
    WHERE columns.table_schema = ? AND table_type = 'BASE TABLE' AND columns.table_name <> '_sqlx_migrations'
    UNION ALL
    SELECT CONCAT(CASE min(non_unique) WHEN 0 THEN 'unique index of ' ELSE 'index of ' END, table_name, ' (',
                  GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ', '), ')')
    FROM information_schema.statistics WHERE table_schema = ? AND table_name <> '_sqlx_migrations'
    GROUP BY table_name, index_name
    UNION ALL
    SELECT CONCAT('foreign key of ', table_name, ' (', column_name, ') to ', referenced_table_name, ' (', referenced_column_name, ')')
    FROM information_schema.key_column_usage WHERE table_schema = ? AND referenced_table_name IS NOT NULL
    UNION ALL
    SELECT CONCAT('view ', views.table_name, ' (', GROUP_CONCAT(column_name ORDER BY ordinal_position SEPARATOR ', '), ')')
    FROM information_schema.views AS views
    JOIN information_schema.columns AS columns
      ON columns.table_schema = views.table_schema AND columns.table_name = views.table_name
    WHERE views.table_schema = ? GROUP BY views.table_name
    UNION ALL
    SELECT CONCAT('procedure ', routine_name) FROM information_schema.routines WHERE routine_schema = ?";

impl MySqlDatabase {
    /// What is not as the migrations leave it, in words.
    pub(crate) async fn differences(&self) -> Result<Vec<String>, StoreError> {
        Ok(differences(EXPECTED, &self.listing().await?))
    }

    pub(crate) async fn listing(&self) -> Result<Vec<String>, StoreError> {
        let mut asking = sqlx::query_scalar::<_, String>(LISTING);
        for _ in LISTING.matches('?') {
            asking = asking.bind(&*self.schema);
        }
        let lines = asking.fetch_all(&self.pool).await.map_err(StoreError::database("list the tables"))?;
        let mut lines: Vec<String> = lines.iter().map(|line| without_width(line)).collect();
        lines.sort_unstable();
        Ok(lines)
    }
}

/// MariaDB says how wide an integer is printed, as in `bigint(20)`; MySQL does not.
fn without_width(line: &str) -> String {
    let Some((before, (_, after))) =
        line.split_once("int(").map(|(before, after)| (before, after.split_once(')').unwrap_or_default()))
    else {
        return line.to_owned();
    };
    format!("{before}int{after}")
}

#[cfg(test)]
mod tests {
    use super::without_width;

    #[test]
    fn integers_are_told_alike_on_every_server() {
        assert_eq!(
            without_width("column owner.only_row tinyint(4) not null"),
            "column owner.only_row tinyint not null"
        );
        assert_eq!(without_width("column candles.close decimal(30,8)"), "column candles.close decimal(30,8)");
    }
}
