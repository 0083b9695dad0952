//! Candle checks on SQLite.

use market::{Interval, Market};
use serde_json::Value;

use super::SqliteDatabase;
use crate::checks::{CandleCheck, CheckCount, CheckableWindow, DifferingCandle};
use crate::error::StoreError;
use crate::json_rows::check_rows;
use crate::names::interval_of;
use crate::plain_rows::{check_count_of, differing_candle_of, window_of};

impl SqliteDatabase {
    pub(crate) async fn find_symbol(&self, market: &Market) -> Result<Option<i32>, StoreError> {
        sqlx::query_scalar(
            "SELECT symbol_id FROM symbol_head WHERE venue = $1 AND symbol = $2 AND ended_at_us IS NULL",
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
        sqlx::query_scalar(
            "SELECT min(open_time_us) FROM candles WHERE symbol_id = $1 AND kind = 'trades' AND interval_s = $2",
        )
        .bind(symbol_id)
        .bind(interval.seconds())
        .fetch_one(&self.pool)
        .await
        .map_err(StoreError::database("look for the first candle"))
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
            "WITH RECURSIVE spans AS MATERIALIZED (
                 SELECT proven_after_us, proven_until_us FROM proven_spans
                 WHERE symbol_id = $1 AND output = 'candles' AND interval_s = $2
             ), opens (open_time_us) AS (
                 SELECT $3 WHERE $3 + $5 <= $4
                 UNION ALL
                 SELECT open_time_us + $5 FROM opens WHERE open_time_us + 2 * $5 <= $4
             ), windows AS (
                 SELECT open_time_us FROM opens
                 WHERE EXISTS (SELECT 1 FROM spans WHERE proven_after_us < opens.open_time_us
                                 AND proven_until_us >= opens.open_time_us + $5)
             ), dated AS (
                 SELECT windows.open_time_us AS window_us, candles.*,
                        (SELECT max(older.open_time_us) FROM candles AS older
                         WHERE candles.symbol_id IS NULL AND older.symbol_id = $1 AND older.kind = 'trades'
                           AND older.interval_s = $2 AND older.open_time_us < windows.open_time_us) AS before_us
                 FROM windows
                 LEFT JOIN candles ON candles.symbol_id = $1 AND candles.kind = 'trades' AND candles.interval_s = $2
                                  AND candles.open_time_us = windows.open_time_us
             )
             SELECT dated.symbol_id, dated.interval_s, dated.window_us, dated.open, dated.high, dated.low, dated.close,
                    dated.volume, dated.quote_volume, dated.trade_count, dated.taker_buy_volume,
                    dated.taker_buy_quote_volume, dated.first_trade_id, dated.last_trade_id, dated.version,
                    before.close, before.last_trade_id
             FROM dated
             LEFT JOIN candles AS before ON before.symbol_id = $1 AND before.kind = 'trades' AND before.interval_s = $2
                                        AND before.open_time_us = dated.before_us
             LEFT JOIN candle_checks AS checks ON checks.symbol_id = $1 AND checks.interval_s = $2
                                              AND checks.open_time_us = dated.window_us
             WHERE (checks.version IS NOT coalesce(dated.version, 0)
                    OR checks.verdict <> 'equal' AND checks.checked_at_us < $6)
               AND coalesce(dated.last_trade_id, before.last_trade_id) IS NOT NULL
             ORDER BY dated.window_us DESC",
        )
        .bind(symbol_id)
        .bind(interval.seconds())
        .bind(from_us)
        .bind(to_us)
        .bind(interval.length_us())
        .bind(checked_before_us)
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
        sqlx::query(
            "INSERT INTO candle_checks (symbol_id, interval_s, open_time_us, version, verdict, differences, checked_at_us)
             SELECT $1, $2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, $4 FROM json_each($3) WHERE true
             ON CONFLICT (symbol_id, interval_s, open_time_us) DO UPDATE SET version = excluded.version,
                 verdict = excluded.verdict, differences = excluded.differences, checked_at_us = excluded.checked_at_us",
        )
        .bind(symbol_id)
        .bind(interval.seconds())
        .bind(Value::from(check_rows(checks)?).to_string())
        .bind(now_us)
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
        rows.iter().map(check_count_of).collect()
    }

    pub(crate) async fn differing_candles(&self, most: i64) -> Result<Vec<DifferingCandle>, StoreError> {
        let rows = sqlx::query(
            "SELECT venue, symbol, interval_s, open_time_us, verdict, differences FROM candle_checks_by_symbol
             WHERE verdict <> 'equal' AND is_current
             ORDER BY verdict DESC, open_time_us DESC, venue, symbol, interval_s LIMIT $1",
        )
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the candles that differ"))?;
        rows.iter().map(differing_candle_of).collect()
    }
}
