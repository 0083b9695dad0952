//! Asks the exchange for the prices of all symbols of a source again and again, and publishes each as a sample.
//!
//! The answer has no time, so a sample has that of its turn: turns begin at whole multiples of the interval since 1970. Of two
//! producers of one source both have a sample of the same turn, and one of them counts.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use market::Ticker;
use runtime::backoff::Backoff;
use runtime::error_chain::error_chain;
use runtime::telemetry::traces;
use tokio::sync::watch;
use tokio::time::Instant;

use super::frame_trace::frame_span;
use super::keeper::Shared;
use crate::exchange::{BinanceRest, FrameError, Listing, RestError, ToldPrice, read_prices};
use crate::record::Content;

/// What its problems are told under.
const PART: &str = "prices";

/// Polls the prices of a source.
pub(crate) struct PricePoll {
    pub(crate) shared: Arc<Shared>,
    pub(crate) rest: BinanceRest,
    pub(crate) interval: Duration,
    /// Changes whenever the exchange has told something new about a symbol.
    pub(crate) listed: watch::Receiver<()>,
}

impl PricePoll {
    /// Runs until it is dropped.
    pub(crate) async fn keep_polling(mut self) {
        let timings = self.shared.timings;
        let mut backoff = Backoff::new(timings.retry_shortest, timings.retry_longest);
        loop {
            let places = self.wait_until_listed().await;
            self.shared.publisher.ready().await;
            let turn_us = self.wait_for_turn().await;
            match self.poll(&places, turn_us).await {
                Ok(untold) => {
                    if untold.is_empty() {
                        self.shared.state.clear_problem(PART);
                    } else {
                        let problem = format!("the exchange does not tell that of {}", untold.join(", "));
                        self.shared.state.set_problem(PART, problem);
                    }
                    backoff.reset();
                }
                Err(error) => {
                    let cause = error_chain(&error);
                    tracing::warn!(error = cause, "the exchange does not tell its prices");
                    self.shared.state.set_problem(PART, cause);
                    self.shared.state.feeds.all().iter().for_each(|feed| feed.set_interrupted());
                    tokio::time::sleep(backoff.next_delay().max(error.pause().unwrap_or_default())).await;
                }
            }
        }
    }

    /// The symbols that are traded now, once there is one: of others the exchange tells the last price for ever.
    async fn wait_until_listed(&mut self) -> Vec<usize> {
        loop {
            let feeds = self.shared.state.feeds.all().iter().enumerate();
            let places: Vec<usize> = feeds
                .filter(|(_, feed)| feed.listing() == Listing::Trading)
                .map(|(place, _)| place)
                .collect();
            if !places.is_empty() {
                return places;
            }
            if self.listed.changed().await.is_err() {
                // Nothing new will ever be told: the producer is about to end.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the next turn begins: microseconds since 1970.
    async fn wait_for_turn(&self) -> i64 {
        let now_us = Timestamp::now().as_microsecond();
        let turn_us = next_turn_us(now_us, self.interval);
        let wait_us = u64::try_from(turn_us - now_us).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(wait_us)).await;
        turn_us
    }

    /// Takes the prices of the symbols at `places`, and returns the symbols of which none is told.
    async fn poll(&mut self, places: &[usize], turn_us: i64) -> Result<Vec<String>, RestError> {
        let feeds = self.shared.state.feeds.all();
        let symbols: Vec<String> = places.iter().map(|place| feeds[*place].symbol.clone()).collect();
        let answer = self.rest.ask_prices(&symbols).await;
        self.shared.state.set_weight_used(self.rest.weight_used());
        let body = answer?;
        let (now, received_time_us) = (Instant::now(), Timestamp::now().as_microsecond());
        self.shared.state.note_frame(now);
        let mut is_missing: Vec<bool> = vec![false; feeds.len()];
        places.iter().for_each(|place| is_missing[*place] = true);
        for told in read_prices(&body)? {
            // Of those who are not asked for by name the answer tells too.
            let Some(place) =
                self.shared.state.feeds.place_of(&told.symbol).filter(|place| is_missing[*place])
            else {
                continue;
            };
            is_missing[place] = false;
            self.take(place, &told, turn_us, received_time_us, now);
        }
        let (untold, told): (Vec<usize>, Vec<usize>) = places.iter().partition(|place| is_missing[**place]);
        told.iter().for_each(|place| feeds[*place].set_subscribed(now));
        Ok(untold.iter().map(|place| feeds[*place].symbol.clone()).collect())
    }

    fn take(&self, place: usize, told: &ToldPrice<'_>, turn_us: i64, received_time_us: i64, now: Instant) {
        let frame = frame_span("http");
        frame.record("cryptopipeline.symbol", told.symbol.as_ref());
        let price = match told.price() {
            Ok(price) => price,
            Err(error) => {
                let error = FrameError::from(error);
                traces::fail(&frame, error.reason());
                self.shared.state.note_malformed(&error, &format!("{told:?}"));
                return;
            }
        };
        self.shared.state.received.add(1);
        let ticker = Ticker { sample_time_us: turn_us, price, day: None, received_time_us };
        self.shared.state.feeds.all()[place].take(Content::Ticker(Box::new(ticker)), now, |content| {
            self.shared.publisher.publish(place, content, &frame);
        });
    }
}

/// The first multiple of `interval` after `now_us`, both since 1970.
fn next_turn_us(now_us: i64, interval: Duration) -> i64 {
    let interval_us = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    (now_us.div_euclid(interval_us) + 1).saturating_mul(interval_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_the_same_for_everybody() {
        let second = Duration::from_secs(1);
        assert_eq!(next_turn_us(1_767_225_600_000_000, second), 1_767_225_601_000_000);
        assert_eq!(next_turn_us(1_767_225_600_999_999, second), 1_767_225_601_000_000);
        assert_eq!(next_turn_us(1_767_225_601_000_000, 5 * second), 1_767_225_605_000_000);
    }
}
