//! Candle checks on PostgreSQL.

use market::{Interval, Market};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresDatabase;
use super::rows::candle_of;
use super::types::{Numeric, Time};
use crate::checks::{
    CandleCheck, CheckCount, CheckVerdict, CheckableWindow, DifferingCandle, content_of, differences_of_json,
    differences_to_json,
};
use crate::error::StoreError;
use crate::names::interval_of;

impl PostgresDatabase {
    pub(crate) async fn find_symbol(&self, market: &Market) -> Result<Option<i32>, StoreError> {
        sqlx::query_scalar(
            "SELECT symbol_id FROM symbol_head WHERE venue = $1 AND symbol = $2 AND ended_at IS NULL",
        )
        .bind(market.venue.as_str())
        .bind(market.symbol.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(StoreError::database("look for a symbol"))
    }

    pub(crate) async fn kept_intervals(&self, symbol_id: i32) -> Result<Vec<Interval>, StoreError> {
        let seconds: Vec<i32> = sqlx::query_scalar(
            "SELECT interval_s FROM folds WHERE symbol_id = $1 AND output = 'candles' ORDER BY interval_s",
        )
        .bind(symbol_id)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the intervals"))?;
        seconds.into_iter().map(interval_of).collect()
    }

    pub(crate) async fn first_candle_us(
        &self,
        symbol_id: i32,
        interval: Interval,
    ) -> Result<Option<i64>, StoreError> {
        let first: Option<Time> = sqlx::query_scalar(
            "SELECT min(open_time) FROM candles WHERE symbol_id = $1 AND kind = 'trades' AND interval_s = $2",
        )
        .bind(symbol_id)
        .bind(interval.seconds())
        .fetch_one(&self.pool)
        .await
        .map_err(StoreError::database("look for the first candle"))?;
        Ok(first.map(|Time(time_us)| time_us))
    }

    pub(crate) async fn windows_to_check(
        &self,
        symbol_id: i32,
        interval: Interval,
        from_us: i64,
        to_us: i64,
        checked_before_us: i64,
    ) -> Result<Vec<CheckableWindow>, StoreError> {
        // The columns of a candle come first, as `candle_of` wants them.
        let rows = sqlx::query(
            "WITH spans AS MATERIALIZED (
                 SELECT proven_after, proven_until FROM proven_spans
                 WHERE symbol_id = $1 AND output = 'candles' AND interval_s = $2
             ), windows AS (
                 SELECT open_time
                 FROM generate_series($3, $4 - $2 * interval '1 second', $2 * interval '1 second') AS opens (open_time)
                 WHERE EXISTS (SELECT FROM spans WHERE proven_after < opens.open_time
                                 AND proven_until >= opens.open_time + $2 * interval '1 second')
             )
             SELECT candles.symbol_id, candles.interval_s, windows.open_time, candles.open, candles.high, candles.low,
                    candles.close, candles.volume, candles.quote_volume, candles.trade_count, candles.taker_buy_volume,
                    candles.taker_buy_quote_volume, candles.first_trade_id, candles.last_trade_id, candles.version,
                    before.close, before.last_trade_id
             FROM windows
             LEFT JOIN candles ON candles.symbol_id = $1 AND candles.kind = 'trades' AND candles.interval_s = $2
                              AND candles.open_time = windows.open_time
             LEFT JOIN LATERAL (
                 SELECT older.close, older.last_trade_id FROM candles AS older
                 WHERE candles.symbol_id IS NULL AND older.symbol_id = $1 AND older.kind = 'trades'
                   AND older.interval_s = $2 AND older.open_time < windows.open_time
                 ORDER BY older.open_time DESC LIMIT 1) AS before ON true
             LEFT JOIN candle_checks AS checks ON checks.symbol_id = $1 AND checks.interval_s = $2
                                              AND checks.open_time = windows.open_time
             WHERE (checks.version IS DISTINCT FROM coalesce(candles.version, 0)
                    OR checks.verdict <> 'equal' AND checks.checked_at < $5)
               AND coalesce(candles.last_trade_id, before.last_trade_id) IS NOT NULL
             ORDER BY windows.open_time DESC",
        )
        .bind(symbol_id)
        .bind(interval.seconds())
        .bind(Time(from_us))
        .bind(Time(to_us))
        .bind(Time(checked_before_us))
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the candles to check"))?;
        rows.iter().map(window_of).collect()
    }

    pub(crate) async fn note_checks(
        &self,
        symbol_id: i32,
        interval: Interval,
        checks: &[CandleCheck],
        now_us: i64,
    ) -> Result<(), StoreError> {
        let differences: Result<Vec<String>, StoreError> =
            checks.iter().map(|check| differences_to_json(&check.differences)).collect();
        sqlx::query(
            "INSERT INTO candle_checks (symbol_id, interval_s, open_time, version, verdict, differences, checked_at)
             SELECT $1, $2, open_time, version, verdict, differences::jsonb, $7
             FROM unnest($3::timestamptz[], $4::bigint[], $5::text[], $6::text[])
                 AS checks (open_time, version, verdict, differences)
             ON CONFLICT (symbol_id, interval_s, open_time) DO UPDATE SET version = excluded.version,
                 verdict = excluded.verdict, differences = excluded.differences, checked_at = excluded.checked_at",
        )
        .bind(symbol_id)
        .bind(interval.seconds())
        .bind(checks.iter().map(|check| Time(check.open_time_us)).collect::<Vec<Time>>())
        .bind(checks.iter().map(|check| check.version).collect::<Vec<i64>>())
        .bind(checks.iter().map(|check| check.verdict.as_str()).collect::<Vec<&str>>())
        .bind(differences?)
        .bind(Time(now_us))
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note candle checks"))?;
        Ok(())
    }

    pub(crate) async fn check_counts(&self) -> Result<Vec<CheckCount>, StoreError> {
        let rows = sqlx::query(
            "SELECT venue, symbol, interval_s, verdict, count(*) FROM candle_checks_by_symbol
             WHERE verdict = 'equal' OR is_current
             GROUP BY venue, symbol, interval_s, verdict ORDER BY venue, symbol, interval_s, verdict",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("count the candle checks"))?;
        let count = |row: &PgRow| {
            Ok(CheckCount {
                market: Market::new(row.get::<&str, _>(0), row.get::<&str, _>(1)),
                interval: interval_of(row.get(2))?,
                verdict: CheckVerdict::named(row.get(3))?,
                windows: row.get(4),
            })
        };
        rows.iter().map(count).collect()
    }

    pub(crate) async fn differing_candles(&self, most: i64) -> Result<Vec<DifferingCandle>, StoreError> {
        let rows = sqlx::query(
            "SELECT venue, symbol, interval_s, open_time, verdict, differences::text FROM candle_checks_by_symbol
             WHERE verdict <> 'equal' AND is_current
             ORDER BY verdict DESC, open_time DESC, venue, symbol, interval_s LIMIT $1",
        )
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the candles that differ"))?;
        let candle = |row: &PgRow| {
            let Time(open_time_us) = row.get(3);
            Ok(DifferingCandle {
                market: Market::new(row.get::<&str, _>(0), row.get::<&str, _>(1)),
                interval: interval_of(row.get(2))?,
                open_time_us,
                verdict: CheckVerdict::named(row.get(4))?,
                differences: differences_of_json(row.get(5))?,
            })
        };
        rows.iter().map(candle).collect()
    }
}

fn window_of(row: &PgRow) -> Result<CheckableWindow, StoreError> {
    let Time(open_time_us) = row.get(2);
    let version: Option<i64> = row.get(14);
    let candle = version.map(|_| candle_of(row)).transpose()?.map(|stored| stored.candle);
    let before = row.get::<Option<Numeric<8>>, _>(15).map(|Numeric(close)| close).zip(row.get(16));
    Ok(CheckableWindow {
        open_time_us,
        version: version.unwrap_or_default(),
        content: content_of(candle, before)?,
    })
}
