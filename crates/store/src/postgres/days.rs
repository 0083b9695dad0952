//! The day partitions of `trades` and `tickers`: made ahead and dropped on connections of their own, never inside a
//! flush, where they would wait for the flush that waits for them. The functions of the schema that do it have the
//! rights that a worker's user may lack.

use jiff::Timestamp;
use jiff::tz::Offset;
use sqlx::Row;

use super::PostgresDatabase;
use super::types::Time;
use crate::error::StoreError;
use crate::flush::{DayTable, Floors};
use crate::known_days::DAY_US;
use crate::model::Retention;

impl PostgresDatabase {
    /// Makes the partitions of the days that these times fall in, where they are not known to be there.
    pub(crate) async fn make_days(
        &self,
        table: DayTable,
        times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError> {
        for day in self.known_days.unknown(table, times_us) {
            sqlx::query("SELECT make_day($1, $2::date)")
                .bind(table.name())
                .bind(date(day))
                .execute(&self.pool)
                .await
                .map_err(StoreError::database("make the partition of a day"))?;
            self.known_days.add(table, day);
        }
        Ok(())
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
        for table in DayTable::ALL {
            self.drop_days_below(table, floors.trades_us)
                .await
                .map_err(StoreError::database("drop old trades and tickers"))?;
        }
        for statement in [
            "DELETE FROM candles WHERE open_time < $1",
            "DELETE FROM sample_candles WHERE open_time < $1",
            "DELETE FROM candle_checks WHERE open_time < $1",
        ] {
            sqlx::query(statement)
                .bind(Time(floors.candles_us))
                .execute(&self.pool)
                .await
                .map_err(StoreError::database("delete old candles"))?;
        }
        sqlx::query("DELETE FROM whale_orders WHERE trade_time < $1")
            .bind(Time(floors.lowest_us()))
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("delete old orders"))?;
        Ok(())
    }

    async fn drop_days_below(&self, table: DayTable, floor_us: i64) -> Result<(), sqlx::Error> {
        if floor_us == i64::MIN {
            return Ok(());
        }
        let first_kept = floor_us.div_euclid(DAY_US);
        let days: Vec<String> = sqlx::query_scalar(
            "SELECT to_date(right(relname, 8), 'YYYYMMDD')::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = $1::regclass AND right(relname, 8) < to_char($2::date, 'YYYYMMDD') ORDER BY relname",
        )
        .bind(table.name())
        .bind(date(first_kept))
        .fetch_all(&self.pool)
        .await?;
        for day in days {
            sqlx::query("SELECT drop_day($1, $2::date)")
                .bind(table.name())
                .bind(day)
                .execute(&self.pool)
                .await?;
        }
        self.known_days.forget_before(table, first_kept);
        Ok(())
    }
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
    fn days_are_those_of_the_calendar_in_utc() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(1_767_225_600_000_000 / DAY_US), "2026-01-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(i64::MAX), "9999-12-30");
    }
}
