//! The statements of a flush about price samples on PostgreSQL.

use market::{CandleKey, Fixed8, Interval, Market, RollingDay, Sample, SampleCandle, Ticker};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, Row, Transaction};

use super::PostgresDatabase;
use super::types::{Numeric, Time};
use crate::error::StoreError;
use crate::flush::{SampleSpan, StoredSampleCandle, StoredTickerHead, TickerTransaction, TickerWrite};
use crate::names::interval_of;

impl PostgresDatabase {
    pub(crate) async fn samples_held(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT coalesce(sum(samples_held), 0)::bigint FROM ticker_head")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::database("count the samples"))
    }

    /// The ids of the markets; those that are not known yet are added.
    pub(super) async fn read_ticker_markets(
        &self,
        markets: &[Market],
    ) -> Result<Vec<(Market, i32)>, StoreError> {
        let venues: Vec<&str> = markets.iter().map(|market| market.venue.as_str()).collect();
        let symbols: Vec<&str> = markets.iter().map(|market| market.symbol.as_str()).collect();
        sqlx::query(
            "INSERT INTO ticker_head (venue, symbol)
             SELECT * FROM (SELECT * FROM unnest($1::text[], $2::text[]) AS wanted (venue, symbol)
                            EXCEPT SELECT venue, symbol FROM ticker_head) AS missing
             ORDER BY venue, symbol ON CONFLICT DO NOTHING",
        )
        .bind(&venues)
        .bind(&symbols)
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("add markets with tickers"))?;
        let rows = sqlx::query(
            "SELECT venue, symbol, market_id
             FROM unnest($1::text[], $2::text[]) AS wanted (venue, symbol) JOIN ticker_head USING (venue, symbol)",
        )
        .bind(&venues)
        .bind(&symbols)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the markets with tickers"))?;
        let market = |row: &PgRow| (Market::new(row.get::<&str, _>(0), row.get::<&str, _>(1)), row.get(2));
        Ok(rows.iter().map(market).collect())
    }
}

impl TickerTransaction for Transaction<'static, Postgres> {
    async fn lock_ticker_heads(&mut self, market_ids: &[i32]) -> Result<(), StoreError> {
        sqlx::query("SELECT FROM ticker_head WHERE market_id = ANY ($1) ORDER BY market_id FOR UPDATE")
            .bind(market_ids)
            .execute(&mut **self)
            .await
            .map_err(StoreError::database("lock the markets with tickers"))?;
        Ok(())
    }

    async fn read_ticker_heads(&mut self, market_ids: &[i32]) -> Result<Vec<StoredTickerHead>, StoreError> {
        let rows = sqlx::query(
            "SELECT market_id, version, samples_held, last_time, last_price FROM ticker_head WHERE market_id = ANY ($1)",
        )
        .bind(market_ids)
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the markets with tickers"))?;
        let head = |row: &PgRow| {
            let last = row.get::<Option<Time>, _>(3).zip(row.get::<Option<Numeric<8>>, _>(4));
            StoredTickerHead {
                market_id: row.get(0),
                version: row.get(1),
                samples_held: row.get(2),
                last: last.map(|(Time(time_us), Numeric(price))| Sample { time_us, price }),
            }
        };
        Ok(rows.iter().map(head).collect())
    }

    async fn read_sample_times(&mut self, samples: &[(i32, i64)]) -> Result<Vec<(i32, i64)>, StoreError> {
        let (market_ids, times): (Vec<i32>, Vec<Time>) =
            samples.iter().map(|(market_id, time_us)| (*market_id, Time(*time_us))).unzip();
        let rows = sqlx::query(
            "SELECT market_id, sample_time FROM unnest($1::int[], $2::timestamptz[]) AS wanted (market_id, sample_time)
             JOIN tickers USING (market_id, sample_time)",
        )
        .bind(market_ids)
        .bind(times)
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the times of samples"))?;
        let time = |row: &PgRow| {
            let Time(time_us) = row.get(1);
            (row.get(0), time_us)
        };
        Ok(rows.iter().map(time).collect())
    }

    async fn read_sample_candles(
        &mut self,
        windows: &[(i32, CandleKey)],
    ) -> Result<Vec<StoredSampleCandle>, StoreError> {
        let rows = sqlx::query(
            "SELECT market_id, interval_s, open_time, open, high, low, close, price_sum, sample_count, first_time, last_time
             FROM unnest($1::int[], $2::int[], $3::timestamptz[]) AS wanted (market_id, interval_s, open_time)
             JOIN sample_candles USING (market_id, interval_s, open_time)",
        )
        .bind(windows.iter().map(|(market_id, _)| *market_id).collect::<Vec<i32>>())
        .bind(windows.iter().map(|(_, (interval, _))| interval.seconds()).collect::<Vec<i32>>())
        .bind(windows.iter().map(|(_, (_, open_time_us))| Time(*open_time_us)).collect::<Vec<Time>>())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the candles of samples"))?;
        rows.iter().map(candle_of).collect()
    }

    async fn read_samples(&mut self, spans: &[SampleSpan]) -> Result<Vec<(i32, Sample)>, StoreError> {
        let rows = sqlx::query(
            "SELECT tickers.market_id, sample_time, price
             FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS wanted (market_id, from_time, until_time)
             JOIN tickers ON tickers.market_id = wanted.market_id AND sample_time >= from_time AND sample_time < until_time",
        )
        .bind(spans.iter().map(|span| span.market_id).collect::<Vec<i32>>())
        .bind(spans.iter().map(|span| Time(span.from_us)).collect::<Vec<Time>>())
        .bind(spans.iter().map(|span| Time(span.until_us)).collect::<Vec<Time>>())
        .fetch_all(&mut **self)
        .await
        .map_err(StoreError::database("read the samples of windows"))?;
        let sample = |row: &PgRow| {
            let (Time(time_us), Numeric(price)) = (row.get(1), row.get(2));
            (row.get(0), Sample { time_us, price })
        };
        Ok(rows.iter().map(sample).collect())
    }
}

pub(super) async fn write_tickers(
    connection: &mut PgConnection,
    markets: &[TickerWrite],
) -> Result<(), StoreError> {
    write_samples(connection, markets).await.map_err(StoreError::database("write price samples"))?;
    write_candles(connection, markets).await.map_err(StoreError::database("write the candles of samples"))?;
    write_heads(connection, markets).await.map_err(StoreError::database("write the markets with tickers"))
}

fn candle_of(row: &PgRow) -> Result<StoredSampleCandle, StoreError> {
    let fixed8 = |column: usize| -> Fixed8 {
        let Numeric(number) = row.get(column);
        number
    };
    let time_us = |column: usize| -> i64 {
        let Time(time_us) = row.get(column);
        time_us
    };
    let candle = SampleCandle {
        open_time_us: time_us(2),
        open: fixed8(3),
        high: fixed8(4),
        low: fixed8(5),
        close: fixed8(6),
        price_sum: fixed8(7),
        sample_count: row.get(8),
        first_time_us: time_us(9),
        last_time_us: time_us(10),
    };
    Ok(StoredSampleCandle { market_id: row.get(0), interval: interval_of(row.get(1))?, candle })
}

async fn write_samples(connection: &mut PgConnection, markets: &[TickerWrite]) -> Result<(), sqlx::Error> {
    let rows: Vec<(&TickerWrite, &Ticker)> = markets
        .iter()
        .flat_map(|market| market.plan.tickers.iter().map(move |ticker| (market, ticker)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let of_day = |field: fn(RollingDay) -> Fixed8| -> Vec<Option<Numeric<8>>> {
        rows.iter().map(|(_, ticker)| ticker.day.map(|day| Numeric(field(day)))).collect()
    };
    sqlx::query(
        "INSERT INTO tickers (market_id, version, sample_time, price, received_time, day_open, day_high, day_low, day_volume,
             day_quote_volume, day_trade_count)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::timestamptz[], $4::numeric[], $5::timestamptz[], $6::numeric[],
             $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[], $11::bigint[])",
    )
    .bind(rows.iter().map(|(market, _)| market.market_id).collect::<Vec<i32>>())
    .bind(rows.iter().map(|(market, _)| market.version).collect::<Vec<i64>>())
    .bind(rows.iter().map(|(_, ticker)| Time(ticker.sample_time_us)).collect::<Vec<Time>>())
    .bind(rows.iter().map(|(_, ticker)| Numeric(ticker.price)).collect::<Vec<Numeric<8>>>())
    .bind(rows.iter().map(|(_, ticker)| Time(ticker.received_time_us)).collect::<Vec<Time>>())
    .bind(of_day(|day| day.open))
    .bind(of_day(|day| day.high))
    .bind(of_day(|day| day.low))
    .bind(of_day(|day| day.volume))
    .bind(rows.iter().map(|(_, ticker)| ticker.day.map(|day| Numeric(day.quote_volume))).collect::<Vec<Option<Numeric<16>>>>())
    .bind(rows.iter().map(|(_, ticker)| ticker.day.map(|day| day.trade_count)).collect::<Vec<Option<i64>>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_candles(connection: &mut PgConnection, markets: &[TickerWrite]) -> Result<(), sqlx::Error> {
    let rows: Vec<(&TickerWrite, Interval, &SampleCandle)> = markets
        .iter()
        .flat_map(|market| market.candles().map(move |(interval, candle)| (market, interval, candle)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let prices = |field: fn(&SampleCandle) -> Fixed8| -> Vec<Numeric<8>> {
        rows.iter().map(|(_, _, candle)| Numeric(field(candle))).collect()
    };
    let times = |field: fn(&SampleCandle) -> i64| -> Vec<Time> {
        rows.iter().map(|(_, _, candle)| Time(field(candle))).collect()
    };
    sqlx::query(
        "INSERT INTO sample_candles (market_id, version, interval_s, open_time, open, high, low, close, price_sum, average,
             sample_count, first_time, last_time)
         SELECT * FROM unnest($1::int[], $2::bigint[], $3::int[], $4::timestamptz[], $5::numeric[], $6::numeric[],
             $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[], $11::bigint[], $12::timestamptz[], $13::timestamptz[])
         ON CONFLICT (market_id, interval_s, open_time) DO UPDATE SET
             version = excluded.version, open = excluded.open, high = excluded.high, low = excluded.low,
             close = excluded.close, price_sum = excluded.price_sum, average = excluded.average,
             sample_count = excluded.sample_count, first_time = excluded.first_time, last_time = excluded.last_time",
    )
    .bind(rows.iter().map(|(market, ..)| market.market_id).collect::<Vec<i32>>())
    .bind(rows.iter().map(|(market, ..)| market.version).collect::<Vec<i64>>())
    .bind(rows.iter().map(|(_, interval, _)| interval.seconds()).collect::<Vec<i32>>())
    .bind(times(|candle| candle.open_time_us))
    .bind(prices(|candle| candle.open))
    .bind(prices(|candle| candle.high))
    .bind(prices(|candle| candle.low))
    .bind(prices(|candle| candle.close))
    .bind(prices(|candle| candle.price_sum))
    .bind(prices(SampleCandle::average))
    .bind(rows.iter().map(|(_, _, candle)| candle.sample_count).collect::<Vec<i64>>())
    .bind(times(|candle| candle.first_time_us))
    .bind(times(|candle| candle.last_time_us))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_heads(connection: &mut PgConnection, markets: &[TickerWrite]) -> Result<(), sqlx::Error> {
    if markets.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE ticker_head SET version = written.version, samples_held = written.samples_held,
             last_time = written.last_time, last_price = written.last_price
         FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::numeric[])
             AS written (market_id, version, samples_held, last_time, last_price)
         WHERE ticker_head.market_id = written.market_id",
    )
    .bind(markets.iter().map(|market| market.market_id).collect::<Vec<i32>>())
    .bind(markets.iter().map(|market| market.version).collect::<Vec<i64>>())
    .bind(markets.iter().map(|market| market.samples_held).collect::<Vec<i64>>())
    .bind(
        markets
            .iter()
            .map(|market| market.last.map(|last| Time(last.time_us)))
            .collect::<Vec<Option<Time>>>(),
    )
    .bind(
        markets
            .iter()
            .map(|market| market.last.map(|last| Numeric(last.price)))
            .collect::<Vec<Option<Numeric<8>>>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
