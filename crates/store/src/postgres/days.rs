//! The day partitions of `trades`: made ahead and dropped on connections of their own, never inside a
//! flush, where they would wait for the flush that waits for them.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use jiff::Timestamp;
use jiff::tz::Offset;
use sqlx::{AssertSqlSafe, Row};

use super::PostgresDatabase;
use super::types::Time;
use crate::error::StoreError;
use crate::flush::Floors;
use crate::model::Retention;

const DAY_US: i64 = 86_400_000_000;
/// Whoever makes or drops a partition holds this advisory lock, so that two never do it at once.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.trades'))";

impl PostgresDatabase {
    /// Makes the partitions of the days that these times fall in, where they are not known to be there.
    pub(crate) async fn make_days(
        &self,
        times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError> {
        let mut missing: BTreeSet<i64> = BTreeSet::new();
        {
            let known = self.known_days.lock().unwrap_or_else(PoisonError::into_inner);
            let mut last = None;
            for day in times_us.map(|time_us| time_us.div_euclid(DAY_US)) {
                if last.replace(day) != Some(day) && !known.contains(&day) {
                    missing.insert(day);
                }
            }
        }
        for day in missing {
            self.make_day(day).await.map_err(StoreError::database("make the partition of a day"))?;
            self.known_days.lock().unwrap_or_else(PoisonError::into_inner).insert(day);
        }
        Ok(())
    }

    async fn make_day(&self, day: i64) -> Result<(), sqlx::Error> {
        let (name, begin, end) = (partition_name(day), date(day), date(day + 1));
        let mut transaction = self.pool.begin().await?;
        sqlx::query(LOCK).execute(&mut *transaction).await?;
        let attached: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'trades'::regclass AND inhrelid = to_regclass($1))",
        )
        .bind(&name)
        .fetch_one(&mut *transaction)
        .await?;
        if !attached {
            // Made apart and then attached: that needs no lock that a running flush would hold up.
            let statements = format!(
                "CREATE TABLE IF NOT EXISTS {name} (LIKE trades INCLUDING ALL);
                 ALTER TABLE trades ATTACH PARTITION {name} FOR VALUES FROM ('{begin} 00:00:00+00') TO ('{end} 00:00:00+00');"
            );
            sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    pub(crate) async fn read_floors(&self) -> Result<Floors, StoreError> {
        let rows = sqlx::query("SELECT output, floor_time FROM floors")
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("read the floors"))?;
        let mut floors = Floors::default();
        for row in rows {
            let Time(floor_us) = row.get(1);
            match row.get::<String, _>(0).as_str() {
                "trades" => floors.trades_us = floor_us,
                _ => floors.candles_us = floor_us,
            }
        }
        Ok(floors)
    }

    /// Moves the floors up first, so that nothing below them claims to be complete, then drops what lies below.
    pub(crate) async fn retain(&self, retention: Retention, now_us: i64) -> Result<(), StoreError> {
        for (output, kept_s) in [("trades", retention.trades_s), ("candles", retention.candles_s)] {
            let Some(floor_us) = Retention::floor_us(kept_s, now_us) else { continue };
            sqlx::query(
                "INSERT INTO floors (output, floor_time) VALUES ($1, $2)
                 ON CONFLICT (output) DO UPDATE SET floor_time = greatest(floors.floor_time, excluded.floor_time)",
            )
            .bind(output)
            .bind(Time(floor_us))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("move a floor"))?;
        }
        let floors = self.read_floors().await?;
        self.drop_days_below(floors.trades_us).await.map_err(StoreError::database("drop old trades"))?;
        for statement in
            ["DELETE FROM candles WHERE open_time < $1", "DELETE FROM candle_checks WHERE open_time < $1"]
        {
            sqlx::query(statement)
                .bind(Time(floors.candles_us))
                .execute(&self.pool)
                .await
                .map_err(StoreError::database("delete old candles"))?;
        }
        Ok(())
    }

    async fn drop_days_below(&self, floor_us: i64) -> Result<(), sqlx::Error> {
        if floor_us == i64::MIN {
            return Ok(());
        }
        let first_kept = partition_name(floor_us.div_euclid(DAY_US));
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = 'trades'::regclass AND relname < $1 ORDER BY relname",
        )
        .bind(&first_kept)
        .fetch_all(&self.pool)
        .await?;
        for name in names {
            let mut transaction = self.pool.begin().await?;
            sqlx::query(LOCK).execute(&mut *transaction).await?;
            // Dropping waits for the flushes under way; who comes later must not wait behind it for long.
            let statements = format!("SET LOCAL lock_timeout = '2s'; DROP TABLE {name};");
            sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        let first_kept = floor_us.div_euclid(DAY_US);
        self.known_days.lock().unwrap_or_else(PoisonError::into_inner).retain(|day| *day >= first_kept);
        Ok(())
    }
}

/// `trades_20260101`: sorts by day.
fn partition_name(day: i64) -> String {
    format!("trades_{}", date(day).replace('-', ""))
}

/// The day as `2026-01-01`, UTC; beyond what a calendar holds, its first or last day.
fn date(day: i64) -> String {
    let limit = if day < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let midnight = Timestamp::from_microsecond(day.saturating_mul(DAY_US)).unwrap_or(limit);
    Offset::UTC.to_datetime(midnight).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_after_their_day_in_utc() {
        assert_eq!(partition_name(0), "trades_19700101");
        assert_eq!(partition_name(1_767_225_600_000_000 / DAY_US), "trades_20260101");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(i64::MAX), "9999-12-30");
    }
}
