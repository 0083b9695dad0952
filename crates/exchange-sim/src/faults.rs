//! What is wrong with the exchange at the moment. Only [`crate::control`] changes it; the connections and the
//! REST interface ask here, in one place each.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use market::{Fixed8, Fixed16};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::control::KlineField;
use crate::dumps::DumpFault;
use crate::klines::WindowKline;

/// Faults of the exchange as a whole.
#[derive(Debug, Default)]
pub(crate) struct ExchangeFaults {
    state: Mutex<ExchangeFaultState>,
}

#[derive(Debug, Default)]
struct ExchangeFaultState {
    refuses_connections_until: Option<Instant>,
    rest_fails_until: Option<(Instant, u16)>,
    rest_slow_until: Option<(Instant, Duration)>,
    rest_lags_until: Option<(Instant, Duration)>,
    /// Connections and requests that were refused, held back or told of an earlier market.
    troubled: u64,
}

impl ExchangeFaults {
    pub(crate) fn refuse_connections_until(&self, until: Instant) {
        lock(&self.state).refuses_connections_until = Some(until);
    }

    /// All REST requests are answered with the HTTP `status` until then.
    pub(crate) fn fail_rest_until(&self, until: Instant, status: u16) {
        lock(&self.state).rest_fails_until = Some((until, status));
    }

    /// All REST requests are answered after a `delay` until then.
    pub(crate) fn slow_rest_until(&self, until: Instant, delay: Duration) {
        lock(&self.state).rest_slow_until = Some((until, delay));
    }

    /// All REST answers tell of the market as it was `lag` ago until then.
    pub(crate) fn lag_rest_until(&self, until: Instant, lag: Duration) {
        lock(&self.state).rest_lags_until = Some((until, lag));
    }

    pub(crate) fn refuses_connections(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        let refuses = state.refuses_connections_until.is_some_and(|until| now < until);
        state.troubled += u64::from(refuses);
        refuses
    }

    /// With which HTTP status REST requests are refused, and for how many seconds yet.
    pub(crate) fn rest_failure(&self, now: Instant) -> Option<(u16, u64)> {
        let mut state = lock(&self.state);
        let (until, status) = state.rest_fails_until.filter(|(until, _)| now < *until)?;
        state.troubled += 1;
        Some((status, until.duration_since(now).as_secs() + 1))
    }

    /// How often somebody met with one of these faults.
    pub(crate) fn troubled(&self) -> u64 {
        lock(&self.state).troubled
    }

    /// How long REST answers are held back.
    pub(crate) fn rest_delay(&self, now: Instant) -> Duration {
        let mut state = lock(&self.state);
        let delay = in_force(state.rest_slow_until, now);
        state.troubled += u64::from(!delay.is_zero());
        delay
    }

    /// How old the market is that REST tells of.
    pub(crate) fn rest_lag(&self, now: Instant) -> Duration {
        let mut state = lock(&self.state);
        let lag = in_force(state.rest_lags_until, now);
        state.troubled += u64::from(!lag.is_zero());
        lag
    }
}

fn in_force(fault: Option<(Instant, Duration)>, now: Instant) -> Duration {
    fault.filter(|(until, _)| now < *until).map_or(Duration::ZERO, |(_, duration)| duration)
}

/// How one trade's frame is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// As it is.
    Whole,
    /// Not at all, though the trade exists.
    Withheld,
    /// Cut in the middle.
    Damaged,
    /// Two times.
    Twice,
    /// After the trade that follows it, unless another one waits for that already.
    Late,
}

/// A frame that a sound exchange would never send, about a trade that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FalseFrame {
    /// Larger than any frame of this exchange: several mebibytes.
    Oversized,
    /// Numbers where there should be text, and text where there should be numbers.
    WrongTypes,
    /// A trade id below zero, or beyond all integers.
    AbsurdId,
    /// A trade time before 1970, or in a year with six digits.
    AbsurdTime,
    /// A price of zero, below zero, or with more digits than there are atoms.
    AbsurdPrice,
}

/// Faults of one symbol.
#[derive(Debug, Default)]
pub(crate) struct SymbolFaults {
    /// False as long as there is none, so that the usual case takes no lock.
    exist: AtomicBool,
    state: Mutex<SymbolFaultState>,
}

#[derive(Debug, Default)]
struct SymbolFaultState {
    is_stalled: bool,
    damaged_left: u32,
    doubled_left: u32,
    delayed_left: u32,
    false_frames_left: Option<(FalseFrame, u32)>,
    withheld_ids: Vec<RangeInclusive<i64>>,
    spoiled: u64,
    altered_klines: Vec<AlteredKline>,
    kline_lag_us: i64,
    forgotten_before_id: i64,
    dumps: BTreeMap<Date, DumpFault>,
}

/// A kline that does not follow from the trades.
#[derive(Clone, Debug)]
pub(crate) struct AlteredKline {
    interval: SmolStr,
    open_us: i64,
    value: AlteredValue,
}

/// What one field says instead.
#[derive(Clone, Copy, Debug)]
enum AlteredValue {
    Price(KlineField, Fixed8),
    Quote(KlineField, Fixed16),
    Count(i64),
}

impl AlteredKline {
    /// `None` where `value` is nothing that `field` can be.
    pub(crate) fn new(interval: SmolStr, open_us: i64, field: KlineField, value: &str) -> Option<Self> {
        let value = match field {
            KlineField::TradeCount => AlteredValue::Count(value.parse().ok()?),
            KlineField::QuoteVolume | KlineField::TakerBuyQuoteVolume => {
                AlteredValue::Quote(field, value.parse().ok()?)
            }
            field => AlteredValue::Price(field, value.parse().ok()?),
        };
        Some(Self { interval, open_us, value })
    }

    fn apply(&self, window: &mut WindowKline) {
        let kline = &mut window.kline;
        match self.value {
            AlteredValue::Count(count) => kline.trade_count = count,
            AlteredValue::Quote(KlineField::QuoteVolume, value) => kline.quote_volume = value,
            AlteredValue::Quote(_, value) => kline.taker_buy_quote_volume = value,
            AlteredValue::Price(KlineField::Open, value) => kline.open = value,
            AlteredValue::Price(KlineField::High, value) => kline.high = value,
            AlteredValue::Price(KlineField::Low, value) => kline.low = value,
            AlteredValue::Price(KlineField::Close, value) => kline.close = value,
            AlteredValue::Price(KlineField::Volume, value) => kline.volume = value,
            AlteredValue::Price(_, value) => kline.taker_buy_volume = value,
        }
    }
}

impl SymbolFaults {
    /// Silences the symbol's streams, or lets them speak again.
    pub(crate) fn stall(&self, is_stalled: bool) {
        self.change(|state| state.is_stalled = is_stalled);
    }

    /// Damages the next `count` trade frames.
    pub(crate) fn damage(&self, count: u32) {
        self.change(|state| state.damaged_left = count);
    }

    /// Sends the next `count` trade frames twice.
    pub(crate) fn double(&self, count: u32) {
        self.change(|state| state.doubled_left = count);
    }

    /// Sends the next `count` trade frames after the one that follows each.
    pub(crate) fn delay(&self, count: u32) {
        self.change(|state| state.delayed_left = count);
    }

    /// Sends `count` frames that are none beside the next trade frames.
    pub(crate) fn add_false_frames(&self, frame: FalseFrame, count: u32) {
        self.change(|state| state.false_frames_left = Some((frame, count)));
    }

    /// Never sends the trades of these ids.
    pub(crate) fn withhold(&self, ids: RangeInclusive<i64>) {
        self.change(|state| state.withheld_ids.push(ids));
    }

    /// Answers with a kline that does not follow from the trades.
    pub(crate) fn alter_kline(&self, altered: AlteredKline) {
        self.change(|state| state.altered_klines.push(altered));
    }

    /// Answers with klines as they were so long ago.
    pub(crate) fn delay_klines(&self, lag_us: i64) {
        self.change(|state| state.kline_lag_us = lag_us);
    }

    /// How old the klines are that are answered with.
    pub(crate) fn kline_lag_us(&self) -> i64 {
        lock(&self.state).kline_lag_us
    }

    /// Alters what is to be altered of a kline of `interval`.
    pub(crate) fn falsify(&self, interval: &str, window: &mut WindowKline) {
        let (state, open_us) = (lock(&self.state), window.open_us);
        let altered = state.altered_klines.iter();
        altered
            .filter(|altered| altered.interval == interval && altered.open_us == open_us)
            .for_each(|altered| altered.apply(window));
    }

    /// `historicalTrades` has no trades before `id` from now on.
    pub(crate) fn forget_before(&self, id: i64) {
        self.change(|state| state.forgotten_before_id = id);
    }

    /// The first id that `historicalTrades` may have.
    pub(crate) fn first_known_id(&self) -> i64 {
        lock(&self.state).forgotten_before_id
    }

    /// What was to go wrong with trades by their ids does not: there are no such trades any more.
    pub(crate) fn forget_ids(&self) {
        self.change(|state| {
            state.withheld_ids.clear();
            state.forgotten_before_id = 0;
        });
    }

    /// Something is wrong with the file of `day`, or no longer.
    pub(crate) fn spoil_dump(&self, day: Date, fault: DumpFault) {
        self.change(|state| state.dumps.insert(day, fault));
    }

    /// What is wrong with the file of `day`.
    pub(crate) fn dump_fault(&self, day: Date) -> DumpFault {
        lock(&self.state).dumps.get(&day).copied().unwrap_or_default()
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.exist.load(Ordering::Relaxed) && lock(&self.state).is_stalled
    }

    /// How the frame of trade `id` is to be delivered; uses up one of the counted faults.
    pub(crate) fn delivery(&self, id: i64) -> Delivery {
        if !self.exist.load(Ordering::Relaxed) {
            return Delivery::Whole;
        }
        let mut state = lock(&self.state);
        let delivery = state.delivery(id);
        state.spoiled += u64::from(delivery != Delivery::Whole);
        delivery
    }

    /// How many frames were not delivered as they are, and how many false ones were, on all connections together.
    pub(crate) fn spoiled(&self) -> u64 {
        lock(&self.state).spoiled
    }

    /// The false frame that is due now; uses it up.
    pub(crate) fn false_frame(&self) -> Option<FalseFrame> {
        if !self.exist.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = lock(&self.state);
        let (frame, left) = state.false_frames_left.take()?;
        state.false_frames_left = (left > 1).then_some((frame, left - 1));
        state.spoiled += u64::from(left > 0);
        (left > 0).then_some(frame)
    }

    fn change<T>(&self, change: impl FnOnce(&mut SymbolFaultState) -> T) {
        change(&mut lock(&self.state));
        self.exist.store(true, Ordering::Relaxed);
    }
}

impl SymbolFaultState {
    fn delivery(&mut self, id: i64) -> Delivery {
        if self.is_stalled || self.withheld_ids.iter().any(|ids| ids.contains(&id)) {
            Delivery::Withheld
        } else if self.damaged_left > 0 {
            self.damaged_left -= 1;
            Delivery::Damaged
        } else if self.doubled_left > 0 {
            self.doubled_left -= 1;
            Delivery::Twice
        } else if self.delayed_left > 0 {
            self.delayed_left -= 1;
            Delivery::Late
        } else {
            Delivery::Whole
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_faults_are_used_up_and_ranges_stay() {
        let faults = SymbolFaults::default();
        assert_eq!(faults.delivery(1), Delivery::Whole);
        faults.damage(1);
        faults.double(1);
        faults.delay(1);
        faults.withhold(3..=4);
        let deliveries: Vec<Delivery> = [3, 2, 5, 6, 7, 4].map(|id| faults.delivery(id)).into();
        use Delivery::{Damaged, Late, Twice, Whole, Withheld};
        assert_eq!(deliveries, [Withheld, Damaged, Twice, Late, Whole, Withheld]);
    }

    #[test]
    fn false_frames_are_used_up() {
        let faults = SymbolFaults::default();
        assert_eq!(faults.false_frame(), None);
        faults.add_false_frames(FalseFrame::AbsurdId, 2);
        let frames = [(); 3].map(|()| faults.false_frame());
        assert_eq!(frames, [Some(FalseFrame::AbsurdId), Some(FalseFrame::AbsurdId), None]);
    }

    #[test]
    fn rest_is_slow_and_behind_until_it_is_not() {
        let faults = ExchangeFaults::default();
        let now = Instant::now();
        let (lag, delay) = (Duration::from_secs(3), Duration::from_millis(200));
        faults.lag_rest_until(now + Duration::from_secs(1), lag);
        faults.slow_rest_until(now + Duration::from_secs(1), delay);
        assert_eq!((faults.rest_lag(now), faults.rest_delay(now)), (lag, delay));
        let later = now + Duration::from_secs(2);
        assert_eq!((faults.rest_lag(later), faults.rest_delay(later)), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_stall_withholds_everything_until_it_ends() {
        let faults = SymbolFaults::default();
        faults.stall(true);
        assert_eq!((faults.is_stalled(), faults.delivery(1)), (true, Delivery::Withheld));
        faults.stall(false);
        assert_eq!((faults.is_stalled(), faults.delivery(1)), (false, Delivery::Whole));
    }
}
