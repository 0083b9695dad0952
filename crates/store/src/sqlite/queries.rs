//! What is read and claimed outside a flush, on SQLite.

use market::{Interval, Market, RESTART_PROOF};
use serde_json::json;
use sqlx::AssertSqlSafe;

use super::SqliteDatabase;
use crate::error::StoreError;
use crate::flush::FlushDatabase as _;
use crate::json_rows::probe_rows;
use crate::ledgers::{HeadRow, HoleRow, RefusedRow};
use crate::model::{CandleQuery, CandleRow, HeadProbe, Hole, MAX_HOLES, PartitionPosition};
use crate::plain_rows::{candle_row_of, head_row_of, hole_of, hole_row_of, position_of, refused_row_of};

const POSITION_COLUMNS: &str =
    "partition, topic_id, next_offset, records_read, trades_new, trades_duplicate, records_set_aside";

impl SqliteDatabase {
    pub(crate) async fn positions(&self, topic: &str) -> Result<Vec<PartitionPosition>, StoreError> {
        let statement =
            format!("SELECT {POSITION_COLUMNS} FROM partition_offsets WHERE topic = $1 ORDER BY partition");
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(topic)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("read the positions"))?;
        Ok(rows.iter().map(position_of).collect())
    }

    pub(crate) async fn assign(
        &self,
        topic: &str,
        topic_id: &str,
        partitions: &[i32],
    ) -> Result<Vec<PartitionPosition>, StoreError> {
        let statement = format!(
            "INSERT INTO partition_offsets AS stored (topic, partition, topic_id, next_offset)
             SELECT $1, value, $2, 0 FROM json_each($3) WHERE true
             ON CONFLICT (topic, partition) DO UPDATE SET topic_id = excluded.topic_id,
                 next_offset = CASE WHEN stored.topic_id = excluded.topic_id THEN stored.next_offset ELSE 0 END
             RETURNING {POSITION_COLUMNS}"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(topic)
            .bind(topic_id)
            .bind(json!(partitions).to_string())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("take over partitions"))?;
        Ok(rows.iter().map(position_of).collect())
    }

    pub(crate) async fn heads(&self) -> Result<Vec<HeadRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT symbol_id, venue, symbol, last_trade_id, last_trade_time_us, trades_held, last_id, probed_at_us,
                    (SELECT min(first_id) FROM trade_ranges AS ranges
                     WHERE ranges.symbol_id = symbol_head.symbol_id AND ranges.kind = 'held'),
                    from_time_us, series, began_at_us, restarted_at_us, restart_evidence,
                    ended_at_us IS NOT NULL, max_inversion_us
             FROM symbol_head LEFT JOIN head_probes USING (symbol_id) LEFT JOIN history_starts USING (symbol_id)
             ORDER BY venue, symbol, series",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the symbols"))?;
        Ok(rows.iter().map(head_row_of).collect())
    }

    pub(crate) async fn holes(&self) -> Result<Vec<HoleRow>, StoreError> {
        let rows = sqlx::query(
            "WITH numbered AS (
                 SELECT symbol_id, first_id, last_id, sum(last_id - first_id + 1) OVER (PARTITION BY symbol_id) AS missing,
                        row_number() OVER (PARTITION BY symbol_id ORDER BY first_id DESC) AS position
                 FROM holes
             )
             SELECT symbol_id, first_id, last_id, missing FROM numbered WHERE position <= $1 ORDER BY symbol_id, position",
        )
        .bind(i64::try_from(MAX_HOLES).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the holes"))?;
        Ok(rows.iter().map(hole_row_of).collect())
    }

    pub(crate) async fn older_holes(
        &self,
        market: &Market,
        below_id: i64,
        most: i64,
    ) -> Result<Vec<Hole>, StoreError> {
        let rows = sqlx::query(
            "SELECT first_id, holes.last_id FROM holes JOIN symbol_head USING (symbol_id)
             WHERE venue = $1 AND symbol = $2 AND ended_at_us IS NULL AND holes.last_id < $3
             ORDER BY first_id DESC LIMIT $4",
        )
        .bind(market.venue.as_str())
        .bind(market.symbol.as_str())
        .bind(below_id)
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the older holes"))?;
        Ok(rows.iter().map(hole_of).collect())
    }

    pub(crate) async fn refused(&self) -> Result<Vec<RefusedRow>, StoreError> {
        let rows = sqlx::query(
            "WITH numbered AS (
                 SELECT symbol_id, first_id, last_id, reason, sum(last_id - first_id + 1) OVER (PARTITION BY symbol_id) AS trades,
                        row_number() OVER (PARTITION BY symbol_id ORDER BY first_id DESC) AS position
                 FROM trade_ranges WHERE kind = 'refused'
             )
             SELECT symbol_id, first_id, last_id, reason, trades FROM numbered WHERE position <= $1
             ORDER BY symbol_id, position",
        )
        .bind(i64::try_from(MAX_HOLES).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the refused trades"))?;
        rows.iter().map(refused_row_of).collect()
    }

    pub(crate) async fn note_head_probes(
        &self,
        probes: &[HeadProbe],
        now_us: i64,
        distance_us: i64,
    ) -> Result<(), StoreError> {
        let markets: Vec<Market> = probes.iter().map(|probe| probe.market.clone()).collect();
        let symbol_ids = self.symbol_ids(&markets).await?;
        sqlx::query(
            "INSERT INTO head_probes AS stored (symbol_id, wished_after, last_id, probe_time_us, probed_at_us)
             SELECT value ->> 0, value ->> 1, value ->> 1, value ->> 2, $2
             FROM json_each($1) JOIN symbol_head ON symbol_id = value ->> 0 WHERE restart_evidence < $4
             ON CONFLICT (symbol_id) DO UPDATE SET settled_time_us = stored.probe_time_us, last_id = excluded.last_id,
                 probe_time_us = excluded.probe_time_us, probed_at_us = excluded.probed_at_us
             WHERE excluded.last_id >= stored.last_id AND excluded.probe_time_us >= stored.probe_time_us + $3",
        )
        .bind(json!(probe_rows(probes, &symbol_ids)).to_string())
        .bind(now_us)
        .bind(distance_us)
        .bind(RESTART_PROOF)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note what the exchange has"))?;
        Ok(())
    }

    pub(crate) async fn candles(&self, query: &CandleQuery) -> Result<Vec<CandleRow>, StoreError> {
        let rows = sqlx::query(
            "WITH windows AS (
                 SELECT venue, symbol, interval_s, open_time_us, open, high, low, close, volume, quote_volume, trade_count,
                        taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, complete, version, series
                 FROM candles_by_symbol
                 UNION ALL
                 SELECT venue, symbol, interval_s, open_time_us, close, close, close, close, '0', '0', 0, '0', '0', NULL,
                        NULL, true, NULL, series
                 FROM empty_candles WHERE close IS NOT NULL
             ), numbered AS (
                 SELECT *, row_number() OVER (PARTITION BY venue, symbol, interval_s ORDER BY open_time_us DESC, series DESC) AS age
                 FROM windows
                 WHERE ($1 IS NULL OR venue = $1) AND ($2 IS NULL OR symbol = $2) AND ($3 IS NULL OR interval_s = $3)
                   AND ($4 IS NULL OR open_time_us >= $4) AND ($5 IS NULL OR open_time_us < $5)
                   AND ($7 IS NULL OR version > $7)
             )
             SELECT venue, symbol, interval_s, open_time_us, open, high, low, close, volume, quote_volume, trade_count,
                    taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, complete, version,
                    series
             FROM numbered WHERE $6 IS NULL OR age <= $6 ORDER BY venue, symbol, interval_s, open_time_us, series
             LIMIT coalesce($8, -1)",
        )
        .bind(&query.venue)
        .bind(&query.symbol)
        .bind(query.interval.map(Interval::seconds))
        .bind(query.from_us)
        .bind(query.to_us)
        .bind(query.newest)
        .bind(query.since_version)
        .bind(query.most)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the candles"))?;
        rows.iter().map(candle_row_of).collect()
    }
}
