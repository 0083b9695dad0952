//! What is read and claimed outside a flush, on MySQL.

use market::{Market, RESTART_PROOF};
use serde_json::json;
use sqlx::{AssertSqlSafe, MySql, QueryBuilder};

use super::MySqlDatabase;
use super::flush::PARTITIONS;
use crate::error::StoreError;
use crate::flush::FlushDatabase as _;
use crate::json_rows::probe_rows;
use crate::ledgers::{HeadRow, HoleRow, RefusedRow};
use crate::model::{CandleQuery, CandleRow, HeadProbe, Hole, MAX_HOLES, PartitionPosition};
use crate::plain_rows::{candle_row_of, head_row_of, hole_of, hole_row_of, position_of, refused_row_of};

const POSITION_COLUMNS: &str = "stored.`partition`, stored.topic_id, stored.next_offset, stored.records_read, stored.trades_new, \
     stored.trades_duplicate, stored.records_set_aside";

impl MySqlDatabase {
    pub(crate) async fn positions(&self, topic: &str) -> Result<Vec<PartitionPosition>, StoreError> {
        let statement = format!(
            "SELECT {POSITION_COLUMNS} FROM partition_offsets AS stored WHERE topic = ? ORDER BY `partition`"
        );
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
        self.take_over(topic, topic_id, partitions)
            .await
            .map_err(StoreError::database("take over partitions"))
    }

    /// In one transaction, so that what is read is what was written.
    async fn take_over(
        &self,
        topic: &str,
        topic_id: &str,
        partitions: &[i32],
    ) -> Result<Vec<PartitionPosition>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        // Assignments go from left to right: the offset still sees the id of before.
        let taking = format!(
            "INSERT INTO partition_offsets (topic, `partition`, topic_id, next_offset)
             SELECT ?, `partition`, ?, 0 FROM {PARTITIONS} ORDER BY `partition`
             ON DUPLICATE KEY UPDATE
                 next_offset = CASE WHEN partition_offsets.topic_id = VALUES(topic_id) THEN next_offset ELSE 0 END,
                 topic_id = VALUES(topic_id)"
        );
        sqlx::query(AssertSqlSafe(taking))
            .bind(topic)
            .bind(topic_id)
            .bind(json!(partitions).to_string())
            .execute(&mut *transaction)
            .await?;
        let reading = format!(
            "SELECT {POSITION_COLUMNS} FROM {PARTITIONS} STRAIGHT_JOIN partition_offsets AS stored
             ON stored.topic = ? AND stored.`partition` = wanted.`partition` ORDER BY stored.`partition`"
        );
        let rows = sqlx::query(AssertSqlSafe(reading))
            .bind(json!(partitions).to_string())
            .bind(topic)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(rows.iter().map(position_of).collect())
    }

    pub(crate) async fn heads(&self) -> Result<Vec<HeadRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT head.symbol_id, venue, symbol, last_trade_id, last_trade_time_us, trades_held, last_id, probed_at_us,
                    (SELECT min(ranges.first_id) FROM trade_ranges AS ranges
                     WHERE ranges.symbol_id = head.symbol_id AND ranges.kind = 'held'),
                    from_time_us, series, began_at_us, restarted_at_us, restart_evidence,
                    ended_at_us IS NOT NULL, max_inversion_us
             FROM symbol_head AS head
             LEFT JOIN head_probes AS probes ON probes.symbol_id = head.symbol_id
             LEFT JOIN history_starts AS starts ON starts.symbol_id = head.symbol_id
             ORDER BY venue, symbol, series",
        )
        .persistent(false)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the symbols"))?;
        Ok(rows.iter().map(head_row_of).collect())
    }

    pub(crate) async fn holes(&self) -> Result<Vec<HoleRow>, StoreError> {
        let rows = sqlx::query(
            "WITH numbered AS (
                 SELECT symbol_id, first_id, last_id,
                        CAST(sum(last_id - first_id + 1) OVER (PARTITION BY symbol_id) AS SIGNED) AS missing,
                        row_number() OVER (PARTITION BY symbol_id ORDER BY first_id DESC) AS place
                 FROM holes
             )
             SELECT symbol_id, first_id, last_id, missing FROM numbered WHERE place <= ? ORDER BY symbol_id, place",
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
            "SELECT holes.first_id, holes.last_id FROM holes JOIN symbol_head AS head ON head.symbol_id = holes.symbol_id
             WHERE venue = ? AND symbol = ? AND ended_at_us IS NULL AND holes.last_id < ?
             ORDER BY holes.first_id DESC LIMIT ?",
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
                 SELECT symbol_id, first_id, last_id, reason,
                        CAST(sum(last_id - first_id + 1) OVER (PARTITION BY symbol_id) AS SIGNED) AS trades,
                        row_number() OVER (PARTITION BY symbol_id ORDER BY first_id DESC) AS place
                 FROM trade_ranges WHERE kind = 'refused'
             )
             SELECT symbol_id, first_id, last_id, reason, trades FROM numbered WHERE place <= ? ORDER BY symbol_id, place",
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
        // Assignments go from left to right, and each asks anew whether the probe counts: the two columns that decide it
        // come last, and each leaves the answer as it was.
        sqlx::query(
            "INSERT INTO head_probes (symbol_id, wished_after, last_id, probe_time_us, probed_at_us)
             SELECT head.symbol_id, asked.last_id, asked.last_id, asked.time_us, ?
             FROM JSON_TABLE(?, '$[*]' COLUMNS (symbol_id INT PATH '$[0]' ERROR ON ERROR,
                 last_id BIGINT PATH '$[1]' ERROR ON ERROR, time_us BIGINT PATH '$[2]' ERROR ON ERROR)) AS asked
             JOIN symbol_head AS head ON head.symbol_id = asked.symbol_id
             WHERE head.restart_evidence < ? ORDER BY head.symbol_id
             ON DUPLICATE KEY UPDATE
                 settled_time_us = CASE WHEN VALUES(last_id) >= head_probes.last_id
                     AND VALUES(probe_time_us) >= head_probes.probe_time_us + ?
                     THEN head_probes.probe_time_us ELSE head_probes.settled_time_us END,
                 probed_at_us = CASE WHEN VALUES(last_id) >= head_probes.last_id
                     AND VALUES(probe_time_us) >= head_probes.probe_time_us + ?
                     THEN VALUES(probed_at_us) ELSE head_probes.probed_at_us END,
                 last_id = CASE WHEN VALUES(last_id) >= head_probes.last_id
                     AND VALUES(probe_time_us) >= head_probes.probe_time_us + ?
                     THEN VALUES(last_id) ELSE head_probes.last_id END,
                 probe_time_us = CASE WHEN VALUES(last_id) >= head_probes.last_id
                     AND VALUES(probe_time_us) >= head_probes.probe_time_us + ?
                     THEN VALUES(probe_time_us) ELSE head_probes.probe_time_us END",
        )
        .bind(now_us)
        .bind(json!(probe_rows(probes, &symbol_ids)).to_string())
        .bind(RESTART_PROOF)
        .bind(distance_us)
        .bind(distance_us)
        .bind(distance_us)
        .bind(distance_us)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note what the exchange has"))?;
        Ok(())
    }

    pub(crate) async fn candles(&self, query: &CandleQuery) -> Result<Vec<CandleRow>, StoreError> {
        let mut asking = ask_for_candles(query);
        let rows =
            asking.build().fetch_all(&self.pool).await.map_err(StoreError::database("read the candles"))?;
        rows.iter().map(candle_row_of).collect()
    }
}

/// Only what is asked for becomes a condition. Names are compared as bytes, as in their own table.
fn ask_for_candles(query: &CandleQuery) -> QueryBuilder<MySql> {
    let mut asking = QueryBuilder::new(
        "WITH windows AS (
             SELECT CAST(venue AS BINARY) AS venue, CAST(symbol AS BINARY) AS symbol, interval_s, open_time_us, open, high, low, close, volume, quote_volume, trade_count,
                    taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, complete, version, series
             FROM candles_by_symbol
             UNION ALL
             SELECT CAST(venue AS BINARY), CAST(symbol AS BINARY), interval_s, open_time_us, close, close, close, close,
                    0, 0, 0, 0, 0, NULL, NULL, 1, NULL, series
             FROM empty_candles
         ), numbered AS (
             SELECT windows.*, row_number() OVER (PARTITION BY venue, symbol, interval_s
                                                  ORDER BY open_time_us DESC, series DESC) AS age
             FROM windows WHERE true",
    );
    if let Some(venue) = &query.venue {
        asking.push(" AND venue = ").push_bind(venue.clone());
    }
    if let Some(symbol) = &query.symbol {
        asking.push(" AND symbol = ").push_bind(symbol.clone());
    }
    if let Some(interval) = query.interval {
        asking.push(" AND interval_s = ").push_bind(interval.seconds());
    }
    if let Some(from_us) = query.from_us {
        asking.push(" AND open_time_us >= ").push_bind(from_us);
    }
    if let Some(to_us) = query.to_us {
        asking.push(" AND open_time_us < ").push_bind(to_us);
    }
    if let Some(version) = query.since_version {
        asking.push(" AND version > ").push_bind(version);
    }
    asking.push(
        ")
         SELECT venue, symbol, interval_s, open_time_us, open, high, low, close, volume, quote_volume, trade_count,
                taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, complete, version, series
         FROM numbered",
    );
    if let Some(newest) = query.newest {
        asking.push(" WHERE age <= ").push_bind(newest);
    }
    asking.push(" ORDER BY venue, symbol, interval_s, open_time_us, series");
    if let Some(most) = query.most {
        asking.push(" LIMIT ").push_bind(most);
    }
    asking
}
