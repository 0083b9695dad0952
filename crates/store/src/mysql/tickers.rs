//! The statements of a flush about price samples on MySQL. Rows are found by key, in the order of the array that names them.

use market::{CandleKey, Market, Sample};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, MySql, MySqlConnection, Transaction};

use super::MySqlDatabase;
use super::flush::{MARKETS, WINDOWS, ascending, write_rows};
use crate::error::StoreError;
use crate::flush::{SampleSpan, StoredSampleCandle, StoredTickerHead, TickerTransaction, TickerWrite};
use crate::json_rows::{
    market_rows, sample_candle_rows, span_rows, ticker_head_rows, ticker_rows, window_rows,
};
use crate::plain_rows::{
    SAMPLE_CANDLE_COLUMNS, sample_candle_of, sample_of, sample_time_of, ticker_head_of, ticker_market_of,
};

/// An array of market ids.
const MARKET_IDS: &str = "JSON_TABLE(?, '$[*]' COLUMNS (market_id INT PATH '$' ERROR ON ERROR)) AS wanted";

impl MySqlDatabase {
    pub(crate) async fn samples_held(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT CAST(coalesce(sum(samples_held), 0) AS SIGNED) FROM ticker_head")
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
        let adding = format!(
            "INSERT INTO ticker_head (venue, symbol)
             SELECT venue, symbol FROM {MARKETS}
             WHERE NOT EXISTS (SELECT 1 FROM ticker_head AS known WHERE known.venue = wanted.venue AND known.symbol = wanted.symbol)
             ORDER BY venue, symbol ON DUPLICATE KEY UPDATE version = ticker_head.version"
        );
        sqlx::query(AssertSqlSafe(adding))
            .persistent(false)
            .bind(&names)
            .execute(&self.pool)
            .await
            .map_err(StoreError::database("add markets with tickers"))?;
        let reading = format!(
            "SELECT head.venue, head.symbol, market_id
             FROM {MARKETS} JOIN ticker_head AS head ON head.venue = wanted.venue AND head.symbol = wanted.symbol"
        );
        let rows = sqlx::query(AssertSqlSafe(reading))
            .bind(&names)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database("read the markets with tickers"))?;
        Ok(rows.iter().map(ticker_market_of).collect())
    }
}

impl TickerTransaction for Transaction<'static, MySql> {
    async fn lock_ticker_heads(&mut self, market_ids: &[i32]) -> Result<(), StoreError> {
        let statement = format!(
            "SELECT version FROM {MARKET_IDS} STRAIGHT_JOIN ticker_head AS head FORCE INDEX (PRIMARY)
             ON head.market_id = wanted.market_id FOR UPDATE"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(ascending(market_ids))
            .execute(&mut **self)
            .await
            .map_err(StoreError::database("lock the markets with tickers"))?;
        Ok(())
    }

    async fn read_ticker_heads(&mut self, market_ids: &[i32]) -> Result<Vec<StoredTickerHead>, StoreError> {
        let statement = format!(
            "SELECT head.market_id, version, samples_held, last_time_us, last_price
             FROM {MARKET_IDS} STRAIGHT_JOIN ticker_head AS head ON head.market_id = wanted.market_id"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(json!(market_ids).to_string())
            .fetch_all(&mut **self)
            .await
            .map_err(StoreError::database("read the markets with tickers"))?;
        rows.iter().map(ticker_head_of).collect()
    }

    async fn read_sample_times(&mut self, samples: &[(i32, i64)]) -> Result<Vec<(i32, i64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT tickers.market_id, tickers.sample_time_us FROM JSON_TABLE(?, '$[*]' COLUMNS (
                 market_id INT PATH '$[0]' ERROR ON ERROR, sample_time_us BIGINT PATH '$[1]' ERROR ON ERROR)) AS wanted
             STRAIGHT_JOIN tickers FORCE INDEX (PRIMARY)
             ON tickers.market_id = wanted.market_id AND tickers.sample_time_us = wanted.sample_time_us",
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
            "SELECT {SAMPLE_CANDLE_COLUMNS} FROM {WINDOWS} STRAIGHT_JOIN sample_candles AS candles FORCE INDEX (PRIMARY)
             ON candles.market_id = wanted.id AND candles.interval_s = wanted.interval_s
                AND candles.open_time_us = wanted.open_time_us"
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
            "SELECT tickers.market_id, tickers.sample_time_us, tickers.price FROM JSON_TABLE(?, '$[*]' COLUMNS (
                 market_id INT PATH '$[0]' ERROR ON ERROR, from_us BIGINT PATH '$[1]' ERROR ON ERROR,
                 until_us BIGINT PATH '$[2]' ERROR ON ERROR)) AS wanted
             STRAIGHT_JOIN tickers FORCE INDEX (PRIMARY)
             ON tickers.market_id = wanted.market_id AND tickers.sample_time_us >= wanted.from_us
                AND tickers.sample_time_us < wanted.until_us",
        )
        .bind(Value::from(span_rows(spans)).to_string())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the samples of windows"))?;
        rows.iter().map(sample_of).collect()
    }
}

pub(super) async fn write_tickers(
    connection: &mut MySqlConnection,
    markets: &[TickerWrite],
) -> Result<(), StoreError> {
    for (action, statement, rows) in [
        ("write price samples", INSERT_TICKERS, ticker_rows(markets)),
        ("write the candles of samples", UPSERT_CANDLES, sample_candle_rows(markets)),
        ("write the markets with tickers", UPDATE_HEADS, ticker_head_rows(markets)),
    ] {
        write_rows(connection, statement, &rows).await.map_err(StoreError::database(action))?;
    }
    Ok(())
}

const INSERT_TICKERS: &str = "INSERT INTO tickers (market_id, sample_time_us, version, price, received_time_us, day_open,
         day_high, day_low, day_volume, day_quote_volume, day_trade_count)
     SELECT market_id, sample_time_us, version, price, received_time_us, day_open, day_high, day_low, day_volume,
         day_quote_volume, day_trade_count FROM JSON_TABLE(?, '$[*]' COLUMNS (
         market_id INT PATH '$[0]' ERROR ON ERROR, sample_time_us BIGINT PATH '$[1]' ERROR ON ERROR,
         version BIGINT PATH '$[2]' ERROR ON ERROR, price VARCHAR(64) PATH '$[3]' ERROR ON ERROR,
         received_time_us BIGINT PATH '$[4]' ERROR ON ERROR, day_open VARCHAR(64) PATH '$[5]' ERROR ON ERROR,
         day_high VARCHAR(64) PATH '$[6]' ERROR ON ERROR, day_low VARCHAR(64) PATH '$[7]' ERROR ON ERROR,
         day_volume VARCHAR(64) PATH '$[8]' ERROR ON ERROR, day_quote_volume VARCHAR(64) PATH '$[9]' ERROR ON ERROR,
         day_trade_count BIGINT PATH '$[10]' ERROR ON ERROR)) AS written";

const UPSERT_CANDLES: &str = "INSERT INTO sample_candles (market_id, version, interval_s, open_time_us, open, high, low, close,
         price_sum, average, sample_count, first_time_us, last_time_us)
     SELECT market_id, version, interval_s, open_time_us, open, high, low, close, price_sum, average, sample_count,
         first_time_us, last_time_us FROM JSON_TABLE(?, '$[*]' COLUMNS (
         market_id INT PATH '$[0]' ERROR ON ERROR, version BIGINT PATH '$[1]' ERROR ON ERROR,
         interval_s INT PATH '$[2]' ERROR ON ERROR, open_time_us BIGINT PATH '$[3]' ERROR ON ERROR,
         open VARCHAR(64) PATH '$[4]' ERROR ON ERROR, high VARCHAR(64) PATH '$[5]' ERROR ON ERROR,
         low VARCHAR(64) PATH '$[6]' ERROR ON ERROR, close VARCHAR(64) PATH '$[7]' ERROR ON ERROR,
         price_sum VARCHAR(64) PATH '$[8]' ERROR ON ERROR, average VARCHAR(64) PATH '$[9]' ERROR ON ERROR,
         sample_count BIGINT PATH '$[10]' ERROR ON ERROR, first_time_us BIGINT PATH '$[11]' ERROR ON ERROR,
         last_time_us BIGINT PATH '$[12]' ERROR ON ERROR)) AS written
     ON DUPLICATE KEY UPDATE version = VALUES(version), open = VALUES(open), high = VALUES(high), low = VALUES(low),
         close = VALUES(close), price_sum = VALUES(price_sum), average = VALUES(average),
         sample_count = VALUES(sample_count), first_time_us = VALUES(first_time_us), last_time_us = VALUES(last_time_us)";

const UPDATE_HEADS: &str = "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (
         market_id INT PATH '$[0]' ERROR ON ERROR, version BIGINT PATH '$[1]' ERROR ON ERROR,
         samples_held BIGINT PATH '$[2]' ERROR ON ERROR, last_time_us BIGINT PATH '$[3]' ERROR ON ERROR,
         last_price VARCHAR(64) PATH '$[4]' ERROR ON ERROR)) AS written
     STRAIGHT_JOIN ticker_head AS head FORCE INDEX (PRIMARY) ON head.market_id = written.market_id
     SET head.version = written.version, head.samples_held = written.samples_held,
         head.last_time_us = written.last_time_us, head.last_price = written.last_price";
