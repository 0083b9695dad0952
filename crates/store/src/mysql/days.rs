//! The day partitions of `trades` and `tickers`: made ahead and dropped on connections of their own, never inside a flush, which a change of
//! a table would commit. The procedures of the schema that do it have the rights that a worker's user may lack.

use super::MySqlDatabase;
use crate::error::StoreError;
use crate::flush::{DayTable, Floors};
use crate::known_days::DAY_US;
use crate::model::Retention;
use crate::plain_rows::floors_of;

impl MySqlDatabase {
    /// Makes the partitions of the days that these times fall in, where they are not known to be there.
    pub(crate) async fn make_days(
        &self,
        table: DayTable,
        times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError> {
        for day in self.known_days.unknown(table, times_us) {
            sqlx::query("CALL make_day(?, ?)")
                .bind(table.name())
                .bind(day)
                .execute(&self.pool)
                .await
                .map_err(StoreError::database("make the partition of a day"))?;
            self.known_days.add(table, day);
        }
        Ok(())
    }

    pub(crate) async fn read_floors(&self) -> Result<Floors, StoreError> {
        let rows = sqlx::query("SELECT output, floor_time_us FROM floors")
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("read the floors"))?;
        Ok(floors_of(&rows))
    }

    /// Moves the floors up first, so that nothing below them claims to be complete, then drops what lies below.
    pub(crate) async fn retain(&self, retention: Retention, now_us: i64) -> Result<(), StoreError> {
        for (output, kept_s) in [("trades", retention.trades_s), ("candles", retention.candles_s)] {
            let Some(floor_us) = Retention::floor_us(kept_s, now_us) else { continue };
            sqlx::query(
                "INSERT INTO floors (output, floor_time_us) VALUES (?, ?)
                 ON DUPLICATE KEY UPDATE floor_time_us = greatest(floor_time_us, VALUES(floor_time_us))",
            )
            .bind(output)
            .bind(floor_us)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("move a floor"))?;
        }
        let floors = self.read_floors().await?;
        if floors.trades_us > i64::MIN {
            for table in DayTable::ALL {
                self.drop_days_below(table, floors.trades_us)
                    .await
                    .map_err(StoreError::database("drop old trades and tickers"))?;
            }
        }
        if floors.candles_us > i64::MIN {
            self.delete_candles_below(floors.candles_us)
                .await
                .map_err(StoreError::database("delete old candles"))?;
        }
        if floors.lowest_us() > i64::MIN {
            self.delete_orders_below(floors.lowest_us())
                .await
                .map_err(StoreError::database("delete old orders"))?;
        }
        Ok(())
    }

    async fn drop_days_below(&self, table: DayTable, floor_us: i64) -> Result<(), sqlx::Error> {
        let first_kept = floor_us.div_euclid(DAY_US);
        sqlx::query("CALL drop_days_before(?, ?)")
            .bind(table.name())
            .bind(first_kept)
            .execute(&self.pool)
            .await?;
        self.known_days.forget_before(table, first_kept);
        Ok(())
    }

    /// By key: whoever scanned the table would wait for the rows of every flush, and they for those.
    async fn delete_candles_below(&self, floor_us: i64) -> Result<(), sqlx::Error> {
        let kept: Vec<(i32, i32)> = sqlx::query_as("SELECT DISTINCT symbol_id, interval_s FROM candles")
            .fetch_all(&self.pool)
            .await?;
        for statement in [
            "DELETE FROM candles WHERE symbol_id = ? AND kind IN ('trades', 'samples') AND interval_s = ? AND open_time_us < ?",
            "DELETE FROM candle_checks WHERE symbol_id = ? AND interval_s = ? AND open_time_us < ?",
        ] {
            self.delete_of_each(statement, &kept, floor_us).await?;
        }
        let sampled: Vec<(i32, i32)> =
            sqlx::query_as("SELECT DISTINCT market_id, interval_s FROM sample_candles")
                .fetch_all(&self.pool)
                .await?;
        let deleting =
            "DELETE FROM sample_candles WHERE market_id = ? AND interval_s = ? AND open_time_us < ?";
        self.delete_of_each(deleting, &sampled, floor_us).await
    }

    async fn delete_orders_below(&self, floor_us: i64) -> Result<(), sqlx::Error> {
        let symbol_ids: Vec<i32> =
            sqlx::query_scalar("SELECT symbol_id FROM symbol_head").fetch_all(&self.pool).await?;
        for symbol_id in symbol_ids {
            sqlx::query("DELETE FROM whale_orders WHERE symbol_id = ? AND trade_time_us < ?")
                .bind(symbol_id)
                .bind(floor_us)
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }

    async fn delete_of_each(
        &self,
        statement: &'static str,
        kept: &[(i32, i32)],
        floor_us: i64,
    ) -> Result<(), sqlx::Error> {
        for (id, interval_s) in kept {
            sqlx::query(statement).bind(id).bind(interval_s).bind(floor_us).execute(&self.pool).await?;
        }
        Ok(())
    }
}
