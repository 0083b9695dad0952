//! Candle checks on MySQL.

use market::{Interval, Market};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::MySqlDatabase;
use crate::checks::{CandleCheck, CheckCount, CheckableWindow, DifferingCandle};
use crate::error::StoreError;
use crate::json_rows::check_rows;
use crate::names::interval_of;
use crate::plain_rows::{CANDLE_COLUMNS, check_count_of, differing_candle_of, window_of};

impl MySqlDatabase {
    pub(crate) async fn find_symbol(&self, market: &Market) -> Result<Option<i32>, StoreError> {
        sqlx::query_scalar(
            "SELECT symbol_id FROM symbol_head WHERE venue = ? AND symbol = ? AND ended_at_us IS NULL",
        )
        .bind(market.venue.as_str())
        .bind(market.symbol.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(StoreError::database("look for a symbol"))
    }

    pub(crate) async fn kept_intervals(&self, symbol_id: i32) -> Result<Vec<Interval>, StoreError> {
        let seconds: Vec<i32> = sqlx::query_scalar(
            "SELECT interval_s FROM folds WHERE symbol_id = ? AND output = 'candles' ORDER BY interval_s",
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
            "SELECT min(open_time_us) FROM candles WHERE symbol_id = ? AND kind = 'trades' AND interval_s = ?",
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
        let windows = (to_us - from_us) / interval.length_us();
        if windows < 1 {
            return Ok(Vec::new());
        }
        // The columns of a candle come first, as `window_of` wants them. A JSON array makes the windows, as in the view
        // empty_candles.
        let columns = CANDLE_COLUMNS.replacen("candles.open_time_us", "windows.open_time_us", 1);
        let statement = format!(
            "WITH windows AS (
                 SELECT CAST(? AS SIGNED) + (CAST(place AS SIGNED) - 1) * ? AS open_time_us
                 FROM JSON_TABLE(CONCAT('[', REPEAT('0,', ?), '0]'), '$[*]' COLUMNS (place FOR ORDINALITY)) AS places
             ), asked AS (
                 SELECT open_time_us FROM proven_spans
                 JOIN windows ON proven_after_us < open_time_us AND proven_until_us >= open_time_us + ?
                 WHERE symbol_id = ? AND output = 'candles' AND interval_s = ?
             ), dated AS (
                 SELECT asked.open_time_us,
                        (SELECT max(older.open_time_us) FROM candles AS older
                         WHERE older.symbol_id = ? AND older.kind = 'trades' AND older.interval_s = ?
                           AND older.open_time_us <= asked.open_time_us) AS candle_us
                 FROM asked
             )
             SELECT {columns}, candles.version, previous.close, previous.last_trade_id
             FROM dated AS windows
             JOIN candles AS previous ON previous.symbol_id = ? AND previous.kind = 'trades' AND previous.interval_s = ?
                                     AND previous.open_time_us = windows.candle_us
             LEFT JOIN candles ON candles.symbol_id = previous.symbol_id AND candles.kind = 'trades'
                              AND candles.interval_s = previous.interval_s AND candles.open_time_us = windows.open_time_us
             LEFT JOIN candle_checks AS checks ON checks.symbol_id = previous.symbol_id AND checks.interval_s = previous.interval_s
                                              AND checks.open_time_us = windows.open_time_us
             WHERE NOT checks.version <=> coalesce(candles.version, 0) OR checks.verdict <> 'equal' AND checks.checked_at_us < ?
             ORDER BY windows.open_time_us DESC"
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .persistent(false)
            .bind(from_us)
            .bind(interval.length_us())
            .bind(windows - 1)
            .bind(interval.length_us())
            .bind(symbol_id)
            .bind(interval.seconds())
            .bind(symbol_id)
            .bind(interval.seconds())
            .bind(symbol_id)
            .bind(interval.seconds())
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
             SELECT ?, ?, open_time_us, version, verdict, differences, ? FROM JSON_TABLE(?, '$[*]' COLUMNS (
                 open_time_us BIGINT PATH '$[0]' ERROR ON ERROR, version BIGINT PATH '$[1]' ERROR ON ERROR,
                 verdict VARCHAR(20) PATH '$[2]' ERROR ON ERROR,
                 differences VARCHAR(10000) CHARACTER SET utf8mb4 PATH '$[3]' ERROR ON ERROR)) AS checks
             ON DUPLICATE KEY UPDATE version = VALUES(version), verdict = VALUES(verdict), differences = VALUES(differences),
                 checked_at_us = VALUES(checked_at_us)",
        )
        .bind(symbol_id)
        .bind(interval.seconds())
        .bind(now_us)
        .bind(Value::from(check_rows(checks)?).to_string())
        .execute(&self.pool)
        .await
        .map_err(StoreError::database("note candle checks"))?;
        Ok(())
    }

    pub(crate) async fn check_counts(&self) -> Result<Vec<CheckCount>, StoreError> {
        let rows = sqlx::query(
            "WITH counted AS (
                 SELECT CAST(venue AS BINARY) AS venue, CAST(symbol AS BINARY) AS symbol, interval_s, verdict
                 FROM candle_checks_by_symbol WHERE verdict = 'equal' OR is_current
             )
             SELECT venue, symbol, interval_s, verdict, count(*) FROM counted
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
             ORDER BY verdict DESC, open_time_us DESC, venue, symbol, interval_s LIMIT ?",
        )
        .bind(most)
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::database("read the candles that differ"))?;
        rows.iter().map(differing_candle_of).collect()
    }
}
