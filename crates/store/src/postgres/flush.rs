//! The statements of a flush on PostgreSQL: rows by COPY where there are many, everything else by arrays, one round trip each.

use market::{Candle, CandleKey, Fixed8, Fixed16, Fold, Interval, Market, Output, TradeRange};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, Row, Transaction};

use super::PostgresDatabase;
use super::history::write_history;
use super::indicators::write_indicators;
use super::rows::{candle_of, head_of, series_of};
use super::tickers::write_tickers;
use super::trades::write_trades;
use super::types::{Numeric, Time};
use crate::error::StoreError;
use crate::flush::{
    DayTable, Floors, FlushDatabase, FlushTransaction, FlushWrites, MarketWrite, PartitionWrite,
    StoredCandle, StoredHead, StoredOffset,
};
use crate::names::{kind_names, kind_of, output_names, output_of};
use crate::series::Series;

pub(super) const CANDLE_COLUMNS: &str = "candles.symbol_id, candles.interval_s, candles.open_time, open, high, low, close, volume, \
     quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id";

impl FlushDatabase for PostgresDatabase {
    type Transaction = Transaction<'static, Postgres>;

    async fn series(&self, markets: &[Market]) -> Result<Vec<Series>, StoreError> {
        let venues: Vec<&str> = markets.iter().map(|market| market.venue.as_str()).collect();
        let symbols: Vec<&str> = markets.iter().map(|market| market.symbol.as_str()).collect();
        let adding = "INSERT INTO symbol_head (venue, symbol)
             SELECT * FROM (SELECT * FROM unnest($1::text[], $2::text[]) AS wanted (venue, symbol)
                            EXCEPT SELECT venue, symbol FROM symbol_head) AS missing
             ORDER BY venue, symbol ON CONFLICT DO NOTHING";
        sqlx::query(adding)
            .bind(&venues)
            .bind(&symbols)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("add symbols"))?;
        let rows = sqlx::query(
            "SELECT symbol_id, venue, symbol, began_at, ended_at
             FROM unnest($1::text[], $2::text[]) AS wanted (venue, symbol) JOIN symbol_head USING (venue, symbol)",
        )
        .bind(&venues)
        .bind(&symbols)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the series of symbols"))?;
        Ok(rows.iter().map(series_of).collect())
    }

    async fn ticker_markets(&self, markets: &[Market]) -> Result<Vec<(Market, i32)>, StoreError> {
        self.read_ticker_markets(markets).await
    }

    async fn prepare_days(
        &self,
        table: DayTable,
        times_us: &mut (dyn Iterator<Item = i64> + Send),
    ) -> Result<(), StoreError> {
        self.make_days(table, times_us).await
    }

    async fn floors(&self) -> Result<Floors, StoreError> {
        self.read_floors().await
    }

    async fn begin(&self) -> Result<Self::Transaction, StoreError> {
        self.pool.begin().await.map_err(StoreError::database("begin a transaction"))
    }
}

impl FlushTransaction for Transaction<'static, Postgres> {
    async fn lock_partitions(&mut self, topic: &str, partitions: &[i32]) -> Result<(), StoreError> {
        sqlx::query("SELECT FROM partition_offsets WHERE topic = $1 AND partition = ANY ($2) ORDER BY partition FOR UPDATE")
            .bind(topic)
            .bind(partitions)
            .execute(&mut **self)
            .await
            .map_err(StoreError::database("lock the partition offsets"))?;
        Ok(())
    }

    async fn lock_heads(&mut self, symbol_ids: &[i32]) -> Result<(), StoreError> {
        sqlx::query("SELECT FROM symbol_head WHERE symbol_id = ANY ($1) ORDER BY symbol_id FOR UPDATE")
            .bind(symbol_ids)
            .execute(&mut **self)
            .await
            .map_err(StoreError::database("lock the symbols"))?;
        Ok(())
    }

    async fn read_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<Vec<StoredOffset>, StoreError> {
        let rows = sqlx::query(
            "SELECT partition, topic_id, next_offset FROM partition_offsets WHERE topic = $1 AND partition = ANY ($2)",
        )
        .bind(topic)
        .bind(partitions)
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the partition offsets"))?;
        let offset = |row: PgRow| StoredOffset {
            partition: row.get(0),
            topic_id: row.get(1),
            next_offset: row.get(2),
        };
        Ok(rows.into_iter().map(offset).collect())
    }

    async fn read_heads(&mut self, symbol_ids: &[i32]) -> Result<Vec<StoredHead>, StoreError> {
        let rows = sqlx::query(
            "SELECT symbol_id, venue, symbol, version, trades_held, last_trade_id, last_trade_time, last_price,
                    max_inversion_us, last_id, probed_at, began_at, ended_at, restarted_at, restart_evidence,
                    total_trades, total_volume, total_quote_volume
             FROM symbol_head LEFT JOIN head_probes USING (symbol_id) WHERE symbol_id = ANY ($1)",
        )
        .bind(symbol_ids)
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the symbols"))?;
        rows.iter().map(head_of).collect()
    }

    async fn read_ranges(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, TradeRange)>, StoreError> {
        let rows = sqlx::query(
            "SELECT symbol_id, first_id, last_id, kind, first_time, last_time, reason FROM trade_ranges
             WHERE symbol_id = ANY ($1)",
        )
        .bind(symbol_ids)
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the ledger"))?;
        let range = |row: &PgRow| {
            let (Time(first_time_us), Time(last_time_us)) = (row.get(4), row.get(5));
            let kind = kind_of(row.get(3), row.get(6))?;
            Ok((
                row.get(0),
                TradeRange { first_id: row.get(1), last_id: row.get(2), kind, first_time_us, last_time_us },
            ))
        };
        rows.iter().map(range).collect()
    }

    async fn read_folds(&mut self, symbol_ids: &[i32]) -> Result<Vec<(i32, Output, Fold)>, StoreError> {
        let rows = sqlx::query(
            "SELECT symbol_id, output, interval_s, incomplete_until FROM folds WHERE symbol_id = ANY ($1)",
        )
        .bind(symbol_ids)
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the folds"))?;
        let fold = |row: &PgRow| {
            let incomplete_until_us = row.get::<Option<Time>, _>(3).map(|Time(time_us)| time_us);
            Ok((row.get(0), output_of(row.get(1), row.get(2))?, Fold { incomplete_until_us }))
        };
        rows.iter().map(fold).collect()
    }

    async fn read_candles(&mut self, windows: &[(i32, CandleKey)]) -> Result<Vec<StoredCandle>, StoreError> {
        let symbol_ids: Vec<i32> = windows.iter().map(|(symbol_id, _)| *symbol_id).collect();
        let intervals: Vec<i32> = windows.iter().map(|(_, (interval, _))| interval.seconds()).collect();
        let opens: Vec<Time> = windows.iter().map(|(_, (_, open_time_us))| Time(*open_time_us)).collect();
        let statement = format!(
            "SELECT {CANDLE_COLUMNS} FROM unnest($1::int[], $2::int[], $3::timestamptz[]) AS wanted (symbol_id, interval_s, open_time)
             JOIN candles USING (symbol_id, interval_s, open_time) WHERE kind = 'trades'"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(symbol_ids)
            .bind(intervals)
            .bind(opens)
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the candles"))?;
        rows.iter().map(candle_of).collect()
    }

    async fn read_all_candles(
        &mut self,
        symbol_id: i32,
        interval: Interval,
    ) -> Result<Vec<StoredCandle>, StoreError> {
        let statement = format!(
            "SELECT {CANDLE_COLUMNS} FROM candles WHERE symbol_id = $1 AND kind = 'trades' AND interval_s = $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(symbol_id)
            .bind(interval.seconds())
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the candles of an interval"))?;
        rows.iter().map(candle_of).collect()
    }

    async fn write(&mut self, writes: &FlushWrites) -> Result<(), StoreError> {
        write_trades(self, &writes.markets).await.map_err(StoreError::database("write trades"))?;
        write_candles(self, &writes.markets).await.map_err(StoreError::database("write candles"))?;
        write_ranges(self, &writes.markets).await.map_err(StoreError::database("write the ledger"))?;
        write_folds(self, &writes.markets).await.map_err(StoreError::database("write the folds"))?;
        write_heads(self, &writes.markets).await.map_err(StoreError::database("write the symbols"))?;
        write_indicators(self, &writes.markets)
            .await
            .map_err(StoreError::database("write what is said of trades"))?;
        write_tickers(self, &writes.tickers).await?;
        write_set_aside(self, writes).await.map_err(StoreError::database("set records aside"))?;
        write_offsets(self, writes).await.map_err(StoreError::database("write the partition offsets"))?;
        write_history(self, writes).await.map_err(StoreError::database("count the trades of a file"))
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        Transaction::commit(self).await
    }
}

async fn write_candles(connection: &mut PgConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let rows: Vec<(&MarketWrite, Interval, &Candle)> = markets
        .iter()
        .flat_map(|market| market.candles().map(move |(interval, candle)| (market, interval, candle)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let fixed8 = |field: fn(&Candle) -> Fixed8| -> Vec<Numeric<8>> {
        rows.iter().map(|(_, _, candle)| Numeric(field(candle))).collect()
    };
    let fixed16 = |field: fn(&Candle) -> Fixed16| -> Vec<Numeric<16>> {
        rows.iter().map(|(_, _, candle)| Numeric(field(candle))).collect()
    };
    let integers =
        |field: fn(&Candle) -> i64| -> Vec<i64> { rows.iter().map(|(_, _, candle)| field(candle)).collect() };
    sqlx::query(
        "INSERT INTO candles (symbol_id, version, interval_s, open_time, open, high, low, close, volume, quote_volume,
             trade_count, taker_buy_volume, taker_buy_quote_volume, first_trade_id, last_trade_id)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::int[], $4::timestamptz[], $5::numeric[], $6::numeric[],
             $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[], $11::bigint[], $12::numeric[],
             $13::numeric[], $14::bigint[], $15::bigint[])
         ON CONFLICT (symbol_id, kind, interval_s, open_time) DO UPDATE SET
             version = excluded.version, open = excluded.open, high = excluded.high, low = excluded.low,
             close = excluded.close, volume = excluded.volume, quote_volume = excluded.quote_volume,
             trade_count = excluded.trade_count, taker_buy_volume = excluded.taker_buy_volume,
             taker_buy_quote_volume = excluded.taker_buy_quote_volume, first_trade_id = excluded.first_trade_id,
             last_trade_id = excluded.last_trade_id",
    )
    .bind(rows.iter().map(|(market, ..)| market.symbol_id).collect::<Vec<i32>>())
    .bind(rows.iter().map(|(market, ..)| market.version).collect::<Vec<i64>>())
    .bind(rows.iter().map(|(_, interval, _)| interval.seconds()).collect::<Vec<i32>>())
    .bind(rows.iter().map(|(_, _, candle)| Time(candle.open_time_us)).collect::<Vec<Time>>())
    .bind(fixed8(|candle| candle.open))
    .bind(fixed8(|candle| candle.high))
    .bind(fixed8(|candle| candle.low))
    .bind(fixed8(|candle| candle.close))
    .bind(fixed8(|candle| candle.volume))
    .bind(fixed16(|candle| candle.quote_volume))
    .bind(integers(|candle| candle.trade_count))
    .bind(fixed8(|candle| candle.taker_buy_volume))
    .bind(fixed16(|candle| candle.taker_buy_quote_volume))
    .bind(integers(|candle| candle.first_trade_id))
    .bind(integers(|candle| candle.last_trade_id))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_ranges(connection: &mut PgConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let deleted: (Vec<i32>, Vec<i64>) = markets
        .iter()
        .flat_map(|market| market.plan.ranges.deleted.iter().map(|first_id| (market.symbol_id, *first_id)))
        .unzip();
    if !deleted.0.is_empty() {
        sqlx::query(
            "DELETE FROM trade_ranges USING unnest($1::int[], $2::bigint[]) AS gone (symbol_id, first_id)
             WHERE trade_ranges.symbol_id = gone.symbol_id AND trade_ranges.first_id = gone.first_id",
        )
        .bind(deleted.0)
        .bind(deleted.1)
        .execute(&mut *connection)
        .await?;
    }
    let written: Vec<(i32, &TradeRange)> = markets
        .iter()
        .flat_map(|market| market.plan.ranges.written.values().map(|range| (market.symbol_id, range)))
        .collect();
    if written.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO trade_ranges (symbol_id, first_id, last_id, kind, first_time, last_time, reason)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[], $5::timestamptz[], $6::timestamptz[],
             $7::text[])
         ON CONFLICT (symbol_id, first_id) DO UPDATE SET last_id = excluded.last_id, kind = excluded.kind,
             first_time = excluded.first_time, last_time = excluded.last_time, reason = excluded.reason",
    )
    .bind(written.iter().map(|(symbol_id, _)| *symbol_id).collect::<Vec<i32>>())
    .bind(written.iter().map(|(_, range)| range.first_id).collect::<Vec<i64>>())
    .bind(written.iter().map(|(_, range)| range.last_id).collect::<Vec<i64>>())
    .bind(written.iter().map(|(_, range)| kind_names(range.kind).0).collect::<Vec<&str>>())
    .bind(written.iter().map(|(_, range)| Time(range.first_time_us)).collect::<Vec<Time>>())
    .bind(written.iter().map(|(_, range)| Time(range.last_time_us)).collect::<Vec<Time>>())
    .bind(written.iter().map(|(_, range)| kind_names(range.kind).1).collect::<Vec<Option<&str>>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_folds(connection: &mut PgConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    // Folds change when settings do, so one statement each is soon enough.
    for market in markets {
        for output in &market.plan.closed_folds {
            let (name, interval_s) = output_names(*output);
            sqlx::query("DELETE FROM folds WHERE symbol_id = $1 AND output = $2 AND interval_s = $3")
                .bind(market.symbol_id)
                .bind(name)
                .bind(interval_s)
                .execute(&mut *connection)
                .await?;
        }
        for (output, fold) in &market.plan.opened_folds {
            let (name, interval_s) = output_names(*output);
            sqlx::query(
                "INSERT INTO folds (symbol_id, output, interval_s, incomplete_until) VALUES ($1, $2, $3, $4)",
            )
            .bind(market.symbol_id)
            .bind(name)
            .bind(interval_s)
            .bind(fold.incomplete_until_us.map(Time))
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

async fn write_heads(connection: &mut PgConnection, markets: &[MarketWrite]) -> Result<(), sqlx::Error> {
    let last = |market: &MarketWrite| market.last_trade;
    sqlx::query(
        "UPDATE symbol_head SET version = written.version, trades_held = written.trades_held,
             last_trade_id = written.last_trade_id, last_trade_time = written.last_trade_time,
             last_price = written.last_price, max_inversion_us = written.max_inversion_us,
             restarted_at = written.restarted_at, restart_evidence = written.restart_evidence,
             total_trades = written.total_trades, total_volume = written.total_volume,
             total_quote_volume = written.total_quote_volume
         FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::numeric[], $7::bigint[],
                     $8::timestamptz[], $9::bigint[], $10::bigint[], $11::numeric[], $12::numeric[])
             AS written (symbol_id, version, trades_held, last_trade_id, last_trade_time, last_price, max_inversion_us,
                         restarted_at, restart_evidence, total_trades, total_volume, total_quote_volume)
         WHERE symbol_head.symbol_id = written.symbol_id",
    )
    .bind(markets.iter().map(|market| market.symbol_id).collect::<Vec<i32>>())
    .bind(markets.iter().map(|market| market.version).collect::<Vec<i64>>())
    .bind(markets.iter().map(|market| market.trades_held).collect::<Vec<i64>>())
    .bind(markets.iter().map(|market| last(market).map(|trade| trade.trade_id)).collect::<Vec<Option<i64>>>())
    .bind(markets.iter().map(|market| last(market).map(|trade| Time(trade.trade_time_us))).collect::<Vec<Option<Time>>>())
    .bind(markets.iter().map(|market| last(market).map(|trade| Numeric(trade.price))).collect::<Vec<Option<Numeric<8>>>>())
    .bind(markets.iter().map(|market| market.max_inversion_us).collect::<Vec<i64>>())
    .bind(markets.iter().map(|market| market.restart.map(|restart| Time(restart.since_us))).collect::<Vec<Option<Time>>>())
    .bind(markets.iter().map(|market| market.restart.map_or(0, |restart| restart.trades)).collect::<Vec<i64>>())
    .bind(markets.iter().map(|market| market.totals.trades).collect::<Vec<i64>>())
    .bind(markets.iter().map(|market| Numeric(market.totals.volume)).collect::<Vec<Numeric<8>>>())
    .bind(markets.iter().map(|market| Numeric(market.totals.quote_volume)).collect::<Vec<Numeric<16>>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_set_aside(connection: &mut PgConnection, writes: &FlushWrites) -> Result<(), sqlx::Error> {
    if writes.set_aside.is_empty() {
        return Ok(());
    }
    // Read again after the offsets were set back, a record is here already.
    sqlx::query(
        "INSERT INTO set_aside (topic, topic_id, partition, record_offset, reason, payload)
         SELECT $1, $2, * FROM unnest($3::int[], $4::bigint[], $5::text[], $6::bytea[]) ON CONFLICT DO NOTHING",
    )
    .bind(&writes.topic)
    .bind(&writes.topic_id)
    .bind(writes.set_aside.iter().map(|row| row.partition).collect::<Vec<i32>>())
    .bind(writes.set_aside.iter().map(|row| row.offset).collect::<Vec<i64>>())
    .bind(writes.set_aside.iter().map(|row| row.reason).collect::<Vec<&str>>())
    .bind(writes.set_aside.iter().map(|row| row.payload.as_slice()).collect::<Vec<&[u8]>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_offsets(connection: &mut PgConnection, writes: &FlushWrites) -> Result<(), sqlx::Error> {
    if writes.partitions.is_empty() {
        return Ok(());
    }
    let column =
        |counter: fn(&PartitionWrite) -> i64| -> Vec<i64> { writes.partitions.iter().map(counter).collect() };
    sqlx::query(
        "UPDATE partition_offsets SET next_offset = written.next_offset,
             records_read = partition_offsets.records_read + written.records_read,
             trades_new = partition_offsets.trades_new + written.trades_new,
             trades_duplicate = partition_offsets.trades_duplicate + written.trades_duplicate,
             records_set_aside = partition_offsets.records_set_aside + written.records_set_aside,
             offsets_skipped = partition_offsets.offsets_skipped + written.offsets_skipped,
             samples_new = partition_offsets.samples_new + written.samples_new,
             samples_duplicate = partition_offsets.samples_duplicate + written.samples_duplicate
         FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
                     $10::bigint[])
             AS written (partition, next_offset, records_read, trades_new, trades_duplicate, records_set_aside, offsets_skipped,
                         samples_new, samples_duplicate)
         WHERE topic = $1 AND partition_offsets.partition = written.partition",
    )
    .bind(&writes.topic)
    .bind(writes.partitions.iter().map(|write| write.partition).collect::<Vec<i32>>())
    .bind(column(|write| write.next_offset))
    .bind(column(|write| write.records_read))
    .bind(column(|write| write.trades_new))
    .bind(column(|write| write.trades_duplicate))
    .bind(column(|write| write.records_set_aside))
    .bind(column(|write| write.offsets_skipped))
    .bind(column(|write| write.samples_new))
    .bind(column(|write| write.samples_duplicate))
    .execute(connection)
    .await?;
    Ok(())
}
