//! The statements of a flush about price samples on SQLite.

use market::{CandleKey, Market, Sample};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, Transaction};

use super::SqliteDatabase;
use super::flush::write_rows;
use crate::error::StoreError;
use crate::flush::{SampleSpan, StoredSampleCandle, StoredTickerHead, TickerTransaction, TickerWrite};
use crate::json_rows::{
    market_rows, sample_candle_rows, span_rows, ticker_head_rows, ticker_rows, window_rows,
};
use crate::plain_rows::{
    SAMPLE_CANDLE_COLUMNS, sample_candle_of, sample_of, sample_time_of, ticker_head_of, ticker_market_of,
};

impl SqliteDatabase {
    pub(crate) async fn samples_held(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT coalesce(sum(samples_held), 0) FROM ticker_head")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("count the samples"))
    }

    /// The ids of the markets; those that are not known yet are added.
    pub(super) async fn read_ticker_markets(
        &self,
        markets: &[Market],
    ) -> Result<Vec<(Market, i32)>, StoreError> {
        let names = Value::from(market_rows(markets)).to_string();
        sqlx::query(
            "INSERT INTO ticker_head (venue, symbol) SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true
             ON CONFLICT DO NOTHING",
        )
        .bind(&names)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("add markets with tickers"))?;
        let rows = sqlx::query(
            "SELECT venue, symbol, market_id FROM ticker_head JOIN json_each($1)
             ON venue = value ->> 0 AND symbol = value ->> 1",
        )
        .bind(&names)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the markets with tickers"))?;
        Ok(rows.iter().map(ticker_market_of).collect())
    }
}

impl TickerTransaction for Transaction<'static, Sqlite> {
    async fn lock_ticker_heads(&mut self, _market_ids: &[i32]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn read_ticker_heads(&mut self, market_ids: &[i32]) -> Result<Vec<StoredTickerHead>, StoreError> {
        let rows = sqlx::query(
            "SELECT market_id, version, samples_held, last_time_us, last_price FROM ticker_head
             WHERE market_id IN (SELECT value FROM json_each($1))",
        )
        .bind(json!(market_ids).to_string())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the markets with tickers"))?;
        rows.iter().map(ticker_head_of).collect()
    }

    async fn read_sample_times(&mut self, samples: &[(i32, i64)]) -> Result<Vec<(i32, i64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT market_id, sample_time_us FROM json_each($1) AS wanted CROSS JOIN tickers
             ON market_id = wanted.value ->> 0 AND sample_time_us = wanted.value ->> 1",
        )
        .bind(json!(samples).to_string())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the times of samples"))?;
        Ok(rows.iter().map(sample_time_of).collect())
    }

    async fn read_sample_candles(
        &mut self,
        windows: &[(i32, CandleKey)],
    ) -> Result<Vec<StoredSampleCandle>, StoreError> {
        let statement = format!(
            "SELECT {SAMPLE_CANDLE_COLUMNS} FROM json_each($1) AS wanted CROSS JOIN sample_candles AS candles
             ON market_id = wanted.value ->> 0 AND interval_s = wanted.value ->> 1 AND open_time_us = wanted.value ->> 2"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(Value::from(window_rows(windows)).to_string())
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the candles of samples"))?;
        rows.iter().map(sample_candle_of).collect()
    }

    async fn read_samples(&mut self, spans: &[SampleSpan]) -> Result<Vec<(i32, Sample)>, StoreError> {
        let rows = sqlx::query(
            "SELECT market_id, sample_time_us, price FROM json_each($1) AS wanted CROSS JOIN tickers
             ON market_id = wanted.value ->> 0 AND sample_time_us >= wanted.value ->> 1 AND sample_time_us < wanted.value ->> 2",
        )
        .bind(Value::from(span_rows(spans)).to_string())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the samples of windows"))?;
        rows.iter().map(sample_of).collect()
    }
}

pub(super) async fn write_tickers(
    connection: &mut SqliteConnection,
    markets: &[TickerWrite],
) -> Result<(), StoreError> {
    for (action, statement, rows) in [
        ("write price samples", INSERT_TICKERS, ticker_rows(markets)),
        ("write the candles of samples", UPSERT_CANDLES, sample_candle_rows(markets)),
        ("write the markets with tickers", UPDATE_HEADS, ticker_head_rows(markets)),
    ] {
        write_rows(connection, statement, rows).await.map_err(StoreError::database(action))?;
    }
    Ok(())
}

const INSERT_TICKERS: &str = "INSERT INTO tickers (market_id, sample_time_us, version, price, received_time_us, day_open,
         day_high, day_low, day_volume, day_quote_volume, day_trade_count)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
         value ->> 8, value ->> 9, value ->> 10 FROM json_each($1)";

const UPSERT_CANDLES: &str = "INSERT INTO sample_candles (market_id, version, interval_s, open_time_us, open, high, low, close,
         price_sum, average, sample_count, first_time_us, last_time_us)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
         value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12 FROM json_each($1) WHERE true
     ON CONFLICT (market_id, interval_s, open_time_us) DO UPDATE SET
         version = excluded.version, open = excluded.open, high = excluded.high, low = excluded.low,
         close = excluded.close, price_sum = excluded.price_sum, average = excluded.average,
         sample_count = excluded.sample_count, first_time_us = excluded.first_time_us, last_time_us = excluded.last_time_us";

const UPDATE_HEADS: &str =
    "UPDATE ticker_head SET version = written.value ->> 1, samples_held = written.value ->> 2,
         last_time_us = written.value ->> 3, last_price = written.value ->> 4
     FROM json_each($1) AS written WHERE market_id = written.value ->> 0";
