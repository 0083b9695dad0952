//! What is read and claimed outside a flush, on PostgreSQL.

use market::{Interval, Market, RESTART_PROOF};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresDatabase;
use super::rows::restart_of;
use super::types::{Numeric, Time};
use crate::error::StoreError;
use crate::flush::FlushDatabase as _;
use crate::ledgers::{HeadRow, HoleRow, RefusedRow};
use crate::model::{
    CandleQuery, CandleRow, HeadProbe, HeadState, Hole, MAX_HOLES, PartitionPosition, RefusedIds,
};
use crate::names::{interval_of, reason_of};

const POSITION_COLUMNS: &str =
    "partition, topic_id, next_offset, records_read, trades_new, trades_duplicate, records_set_aside";

impl PostgresDatabase {
    pub(crate) async fn positions(&self, topic: &str) -> Result<Vec<PartitionPosition>, StoreError> {
        let statement =
            format!("SELECT {POSITION_COLUMNS} FROM partition_offsets WHERE topic = $1 ORDER BY partition");
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
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
             SELECT $1, partition, $2, 0 FROM unnest($3::int[]) AS partition ORDER BY partition
             ON CONFLICT (topic, partition) DO UPDATE SET topic_id = excluded.topic_id,
                 next_offset = CASE WHEN stored.topic_id = excluded.topic_id THEN stored.next_offset ELSE 0 END
             RETURNING {POSITION_COLUMNS}"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(topic)
            .bind(topic_id)
            .bind(partitions)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("take over partitions"))?;
        Ok(rows.iter().map(position_of).collect())
    }

    pub(crate) async fn heads(&self) -> Result<Vec<HeadRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT symbol_id, venue, symbol, last_trade_id, last_trade_time, trades_held, last_id, probed_at,
                    (SELECT min(first_id) FROM trade_ranges AS ranges
                     WHERE ranges.symbol_id = symbol_head.symbol_id AND ranges.kind = 'held'),
                    from_time, series, began_at, restarted_at, restart_evidence,
                    ended_at IS NOT NULL, max_inversion_us
             FROM symbol_head LEFT JOIN head_probes USING (symbol_id) LEFT JOIN history_starts USING (symbol_id)
             ORDER BY venue, symbol, series",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the symbols"))?;
        let head = |row: &PgRow| HeadRow {
            symbol_id: row.get(0),
            market: Market::new(row.get::<&str, _>(1), row.get::<&str, _>(2)),
            series: row.get(10),
            series_since_us: row.get::<Option<Time>, _>(11).map(|Time(since_us)| since_us),
            restart: restart_of(row, 12),
            has_ended: row.get(14),
            max_inversion_us: row.get(15),
            first_trade_id: row.get(8),
            last_trade_id: row.get(3),
            last_trade_time_us: row.get::<Option<Time>, _>(4).map(|Time(time_us)| time_us),
            trades_held: row.get(5),
            head: row
                .get::<Option<i64>, _>(6)
                .zip(row.get::<Option<Time>, _>(7))
                .map(|(last_id, Time(probed_at_us))| HeadState { last_id, probed_at_us }),
            history_from_us: row.get::<Option<Time>, _>(9).map(|Time(from_us)| from_us),
        };
        Ok(rows.iter().map(head).collect())
    }

    pub(crate) async fn holes(&self) -> Result<Vec<HoleRow>, StoreError> {
        let rows = sqlx::query(
            "WITH numbered AS (
                 SELECT symbol_id, first_id, last_id,
                        sum(last_id - first_id + 1) OVER (PARTITION BY symbol_id)::bigint AS missing,
                        row_number() OVER (PARTITION BY symbol_id ORDER BY first_id DESC) AS position
                 FROM holes
             )
             SELECT symbol_id, first_id, last_id, missing FROM numbered WHERE position <= $1 ORDER BY symbol_id, position",
        )
        .bind(i64::try_from(MAX_HOLES).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the holes"))?;
        let hole = |row: &PgRow| HoleRow {
            symbol_id: row.get(0),
            first_id: row.get(1),
            last_id: row.get(2),
            missing: row.get(3),
        };
        Ok(rows.iter().map(hole).collect())
    }

    pub(crate) async fn older_holes(
        &self,
        market: &Market,
        below_id: i64,
        most: i64,
    ) -> Result<Vec<Hole>, StoreError> {
        let rows = sqlx::query(
            "SELECT first_id, holes.last_id FROM holes JOIN symbol_head USING (symbol_id)
             WHERE venue = $1 AND symbol = $2 AND ended_at IS NULL AND holes.last_id < $3
             ORDER BY first_id DESC LIMIT $4",
        )
        .bind(market.venue.as_str())
        .bind(market.symbol.as_str())
        .bind(below_id)
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the older holes"))?;
        Ok(rows.iter().map(|row: &PgRow| Hole { first_id: row.get(0), last_id: row.get(1) }).collect())
    }

    pub(crate) async fn refused(&self) -> Result<Vec<RefusedRow>, StoreError> {
        let rows = sqlx::query(
            "WITH numbered AS (
                 SELECT symbol_id, first_id, last_id, reason,
                        sum(last_id - first_id + 1) OVER (PARTITION BY symbol_id)::bigint AS trades,
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
        let refused = |row: &PgRow| {
            let ids =
                RefusedIds { first_id: row.get(1), last_id: row.get(2), reason: reason_of(row.get(3))? };
            Ok(RefusedRow { symbol_id: row.get(0), ids, trades: row.get(4) })
        };
        rows.iter().map(refused).collect()
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
            "INSERT INTO head_probes AS stored (symbol_id, wished_after, last_id, probe_time, probed_at)
             SELECT symbol_id, last_id, last_id, probe_time, $4
             FROM unnest($1::int[], $2::bigint[], $3::timestamptz[]) AS probes (symbol_id, last_id, probe_time)
             JOIN symbol_head USING (symbol_id) WHERE restart_evidence < $6 ORDER BY symbol_id
             ON CONFLICT (symbol_id) DO UPDATE SET settled_time = stored.probe_time, last_id = excluded.last_id,
                 probe_time = excluded.probe_time, probed_at = excluded.probed_at
             WHERE excluded.last_id >= stored.last_id
               AND excluded.probe_time >= stored.probe_time + $5 * interval '1 microsecond'",
        )
        .bind(symbol_ids)
        .bind(probes.iter().map(|probe| probe.last_id).collect::<Vec<i64>>())
        .bind(probes.iter().map(|probe| Time(probe.time_us)).collect::<Vec<Time>>())
        .bind(Time(now_us))
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
                 SELECT venue, symbol, interval_s, open_time, open, high, low, close, volume, quote_volume, trade_count,
                        taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, complete, version, series
                 FROM candles_by_symbol
                 UNION ALL
                 SELECT venue, symbol, interval_s, open_time, close, close, close, close, 0, 0, 0, 0, 0, NULL, NULL, true,
                        NULL, series
                 FROM empty_candles
             ), numbered AS (
                 SELECT *, row_number() OVER (PARTITION BY venue, symbol, interval_s ORDER BY open_time DESC, series DESC) AS age
                 FROM windows
                 WHERE ($1::text IS NULL OR venue = $1) AND ($2::text IS NULL OR symbol = $2)
                   AND ($3::int IS NULL OR interval_s = $3) AND ($4::timestamptz IS NULL OR open_time >= $4)
                   AND ($5::timestamptz IS NULL OR open_time < $5) AND ($7::bigint IS NULL OR version > $7)
             )
             SELECT venue, symbol, interval_s, open_time, open, high, low, close, volume, quote_volume, trade_count,
                    taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id, complete, version,
                    series
             FROM numbered WHERE $6::bigint IS NULL OR age <= $6 ORDER BY venue, symbol, interval_s, open_time, series
             LIMIT $8",
        )
        .bind(&query.venue)
        .bind(&query.symbol)
        .bind(query.interval.map(Interval::seconds))
        .bind(query.from_us.map(Time))
        .bind(query.to_us.map(Time))
        .bind(query.newest)
        .bind(query.since_version)
        .bind(query.most)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the candles"))?;
        rows.iter().map(candle_row_of).collect()
    }
}

fn position_of(row: &PgRow) -> PartitionPosition {
    PartitionPosition {
        partition: row.get(0),
        topic_id: row.get(1),
        next_offset: row.get(2),
        records_read: row.get(3),
        trades_new: row.get(4),
        trades_duplicate: row.get(5),
        records_set_aside: row.get(6),
    }
}

fn candle_row_of(row: &PgRow) -> Result<CandleRow, StoreError> {
    let fixed8 = |column: usize| row.try_get(column).map(|Numeric(number): Numeric<8>| number);
    let fixed16 = |column: usize| row.try_get(column).map(|Numeric(number): Numeric<16>| number);
    let interval = interval_of(row.get(2))?;
    let read = || -> Result<CandleRow, sqlx::Error> {
        let Time(open_time_us) = row.try_get(3)?;
        Ok(CandleRow {
            market: Market::new(row.try_get::<&str, _>(0)?, row.try_get::<&str, _>(1)?),
            interval,
            open_time_us,
            open: fixed8(4)?,
            high: fixed8(5)?,
            low: fixed8(6)?,
            close: fixed8(7)?,
            volume: fixed8(8)?,
            quote_volume: fixed16(9)?,
            trade_count: row.try_get(10)?,
            taker_buy_volume: fixed8(11)?,
            taker_buy_quote_volume: fixed16(12)?,
            first_trade_id: row.try_get(13)?,
            last_trade_id: row.try_get(14)?,
            complete: row.try_get(15)?,
            version: row.try_get(16)?,
            series: row.try_get(17)?,
        })
    };
    read().map_err(StoreError::database("read a candle"))
}
