//! What there is to load of a symbol: where its trades begin, which days have files, and which ids are theirs.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use market::Market;
use store::{HistoryStart, MarketHistory};
use tokio::time::Instant;

use super::days::{is_covered, wished_from_us};
use super::source::{SourceHistory, StepError};
use crate::utc_day::{day_of_us, day_span_us, days};

/// How many days the newest file may lie back: it appears on the day after, and some appear late.
const NEWEST_FILE_LOOKBACK: usize = 7;

/// After a plan failed.
const PLAN_RETRY: Duration = Duration::from_secs(10);

impl SourceHistory {
    /// Plans a symbol, and says when that is to be done again.
    pub(super) async fn plan(&mut self, index: usize) -> Result<(), StepError> {
        let Some(symbol) = self.symbols.get_mut(index) else { return Ok(()) };
        // One symbol that the exchange refuses must not hold up the others.
        symbol.plan_at = Instant::now() + self.timings.file_retry.min(PLAN_RETRY);
        let market = symbol.market.clone();
        let history = self.store.history(&market).await?;
        self.state.note_database(Ok(()));
        let first_day = day_of_us(self.from_us - 1);
        let yesterday = day_of_us(Timestamp::now().as_microsecond()).yesterday().unwrap_or(Date::MIN);
        let from_us = wished_from_us(self.from_us, &history);
        let is_known = history.start.is_some_and(|start| start.from_us == from_us);
        let is_whole = days(first_day, yesterday).all(|day| is_covered(day, from_us, &history));
        if is_known && is_whole {
            self.set_days(index, first_day, yesterday, &history);
        } else {
            self.ask(index, &market, &history, yesterday).await?;
        }
        if let Some(symbol) = self.symbols.get_mut(index) {
            symbol.plan_at = Instant::now() + self.timings.history_plan_interval;
        }
        self.show(index);
        Ok(())
    }

    /// Asks exchange and files where the history of a symbol begins and which ids are those of the files.
    async fn ask(
        &mut self,
        index: usize,
        market: &Market,
        history: &MarketHistory,
        yesterday: Date,
    ) -> Result<(), StepError> {
        let name = market.symbol.as_str();
        let from_us = wished_from_us(self.from_us, history);
        let Some(first_id) = self.rest.first_trade_from(name, from_us).await? else {
            // No trade yet from then on: there is nothing to wish.
            return Ok(());
        };
        let first_day = day_of_us(self.from_us - 1);
        let listed_us = self.rest.first_traded_day_us(name, day_span_us(first_day).start).await?;
        self.state.note_exchange(&self.name, Ok(()));
        let first_day = listed_us.map_or(first_day, |listed_us| first_day.max(day_of_us(listed_us)));
        let newest = self.newest_file(name, first_day, yesterday).await?;
        self.state.note_dumps(&self.name, Ok(()));
        let first_id = match newest {
            Some(_) => first_id,
            None => self.id_before(name, first_id).await?,
        };
        let behind_files = match newest {
            Some(day) => self.first_id_behind(name, day).await?.unwrap_or(first_id),
            None => first_id,
        };
        // A file may have told an earlier one than the exchange remembers.
        let known = history.start.filter(|start| start.from_us == from_us);
        let start =
            HistoryStart { from_us, first_id: known.map_or(first_id, |known| known.first_id.min(first_id)) };
        // Before the ids are wished: the repairer would ask for them at once.
        let held = history.chains.iter().find(|chain| {
            chain.first_id <= start.first_id && start.first_id <= chain.last_id.saturating_add(1)
        });
        let next_id = held.map_or(start.first_id, |chain| chain.last_id.saturating_add(1));
        self.claims.claim(market, next_id..=behind_files.saturating_sub(1));
        if known != Some(start) {
            self.store.wish_history(market, start).await?;
        }
        let history = MarketHistory { start: Some(start), ..history.clone() };
        self.set_days(index, first_day, yesterday, &history);
        Ok(())
    }

    fn set_days(&mut self, index: usize, first: Date, last: Date, history: &MarketHistory) {
        let Some(symbol) = self.symbols.get_mut(index) else { return };
        let from_us = wished_from_us(self.from_us, history);
        symbol.days.update(days(first, last), |day| is_covered(day, from_us, history));
        if symbol.days.next(Instant::now()).is_none() {
            self.claims.release(&symbol.market);
        }
    }

    /// The newest day that there is a file of.
    async fn newest_file(
        &self,
        symbol: &str,
        first: Date,
        yesterday: Date,
    ) -> Result<Option<Date>, StepError> {
        let back = std::iter::successors(Some(yesterday), |day| day.yesterday().ok());
        for day in back.take(NEWEST_FILE_LOOKBACK).take_while(|day| *day >= first) {
            match self.dumps.checksum(symbol, day).await {
                Ok(_) => return Ok(Some(day)),
                Err(error) if error.is_about_the_file() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The first id behind the files up to `day`: the exchange is asked for it and for what follows.
    async fn first_id_behind(&mut self, symbol: &str, day: Date) -> Result<Option<i64>, StepError> {
        if let Some(id) = self.rest.first_trade_from(symbol, day_span_us(day).end).await? {
            return Ok(Some(id));
        }
        let newest = self.rest.newest_trades(&[symbol.to_owned()]).await?;
        Ok(newest.first().map(|newest| newest.last_id.saturating_add(1)))
    }

    /// The id before the first one that is wished, if the exchange has it: it proves where the chain begins.
    async fn id_before(&mut self, symbol: &str, first_id: i64) -> Result<i64, StepError> {
        let before = first_id.saturating_sub(1);
        let rows = self.rest.trades_from(symbol, before, 0).await?;
        let has_it = rows.first().is_some_and(|row| (row.first_id()..=row.last_id()).contains(&before));
        Ok(if has_it { before } else { first_id })
    }
}
