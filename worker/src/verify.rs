//! Complete candles are compared with the exchange's own (decision 5). One [`Verifier`] a source takes one step whenever the
//! repairer has nothing more urgent to ask: the next trades for a proof, a second look at a difference, or the next windows.
//!
//! A difference is believed once the exchange has said the same twice. Then its own trades of the window decide who is wrong:
//! folded by the code that makes every candle, they are ours, or they are not.

mod ask;
mod compare;
mod proof;
mod sweep;
mod timings;

use std::collections::{BTreeMap, VecDeque};

use crds::worker_settings::{ExchangeKind, SourceSettings};
use crds::worker_status::UndecidedCheck;
use hashbrown::HashMap;
use jiff::Timestamp;
use market::{Candle, Market, Trade};
use store::{CandleCheck, CheckVerdict, CheckableWindow, Difference, Store, StoreError, time_text};
use tokio::time::{Duration, Instant};

use crate::exchange::{AskedTrade, BinanceRest, Kline, NewestTrade, RestError};
use ask::{WindowKey, klines, window_now};
use compare::{QuoteRule, compare, compare_with_trades};
use proof::{Progress, Proof};
use sweep::{Stretch, Sweep};

pub use timings::VerifyTimings;

/// How long what the exchange does not tell is not asked for again.
const UNDECIDED_PAUSE: Duration = Duration::from_secs(600);
/// Differences that wait for a second look; more are found again later.
const MOST_DOUBTS: usize = 1_000;

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing is due.
    Idle,
    /// Something was looked at or asked; these many windows got that verdict.
    Taken(Vec<(CheckVerdict, usize)>),
}

/// Why a step failed; it is taken again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerifyError {
    #[error(transparent)]
    Exchange(#[from] RestError),
    #[error(transparent)]
    Database(#[from] StoreError),
}

/// A difference that was seen once.
#[derive(Debug)]
struct Doubt {
    key: WindowKey,
    version: i64,
    kline: Option<Kline>,
    look_at: Instant,
}

/// A difference that was seen twice, and is being decided.
#[derive(Debug)]
struct Case {
    key: WindowKey,
    window: CheckableWindow,
    kline: Option<Kline>,
    proof: Proof,
}

/// A difference that cannot be decided for now.
#[derive(Debug)]
struct Undecided {
    version: i64,
    not_before: Instant,
    reason: String,
}

/// Compares the candles of one source.
pub(crate) struct Verifier {
    exchange: ExchangeKind,
    venue: String,
    symbols: Vec<String>,
    timings: VerifyTimings,
    sweep: Sweep,
    lanes_due: Instant,
    /// The exchange's time, by symbol, as it was told last.
    times_us: HashMap<String, i64>,
    rules: HashMap<String, QuoteRule>,
    doubts: VecDeque<Doubt>,
    case: Option<Case>,
    is_proofs_turn: bool,
    undecided: BTreeMap<WindowKey, Undecided>,
}

impl Verifier {
    pub(crate) fn new(source: &SourceSettings, timings: VerifyTimings) -> Self {
        Self {
            exchange: source.exchange,
            venue: source.venue.clone(),
            symbols: source.symbols.clone(),
            timings,
            sweep: Sweep::default(),
            lanes_due: Instant::now(),
            times_us: HashMap::new(),
            rules: HashMap::new(),
            doubts: VecDeque::new(),
            case: None,
            is_proofs_turn: false,
            undecided: BTreeMap::new(),
        }
    }

    /// Takes note of the exchange's own time.
    pub(crate) fn note_times(&mut self, newest: &[NewestTrade]) {
        self.times_us.extend(newest.iter().map(|newest| (newest.symbol.clone(), newest.time_us)));
    }

    /// Differences that are being decided, or cannot be.
    pub(crate) fn undecided(&self) -> Vec<UndecidedCheck> {
        let told = |(market, interval, open_time_us): &WindowKey, reason: &str| UndecidedCheck {
            venue: market.venue.to_string(),
            symbol: market.symbol.to_string(),
            interval: interval.to_string(),
            open_time: time_text(*open_time_us),
            reason: reason.to_owned(),
        };
        let case = self.case.iter().map(|case| told(&case.key, "its trades are being asked for"));
        case.chain(self.undecided.iter().map(|(key, undecided)| told(key, &undecided.reason))).collect()
    }

    /// Does what is due next, asking the exchange once at most.
    pub(crate) async fn step(&mut self, rest: &mut BinanceRest, store: &Store) -> Result<Step, VerifyError> {
        let now = Instant::now();
        self.is_proofs_turn = !self.is_proofs_turn;
        if self.is_proofs_turn && self.case.is_some() {
            return self.go_on_with_case(rest, store).await;
        }
        // One at a time is decided; a long one must not hold up what is only to be looked at.
        if self.case.is_none()
            && self.doubts.front().is_some_and(|doubt| doubt.look_at <= now)
            && let Some(doubt) = self.doubts.pop_front()
        {
            return self.look_again(doubt, rest, store).await;
        }
        self.update_lanes(rest, store, now).await?;
        let grace_us = i64::try_from(self.timings.grace.as_micros()).unwrap_or(i64::MAX);
        let times_us = &self.times_us;
        let over_until_us = |market: &Market| Some(times_us.get(market.symbol.as_str())? - grace_us);
        let Some(stretch) = self.sweep.next(over_until_us, &self.timings, now) else {
            return self.go_on_with_case(rest, store).await;
        };
        let first_us = store.first_candle_us(&stretch.market, stretch.interval).await?;
        self.sweep.note_first(&stretch, first_us, &self.timings, now);
        self.check(&stretch, rest, store).await
    }

    async fn update_lanes(
        &mut self,
        rest: &mut BinanceRest,
        store: &Store,
        now: Instant,
    ) -> Result<(), VerifyError> {
        if now < self.lanes_due {
            return Ok(());
        }
        if self.rules.is_empty() {
            for listing in rest.list_symbols(&self.symbols).await? {
                self.rules.insert(listing.symbol, QuoteRule { decimals: listing.quote_decimals });
            }
        }
        let mut lanes = Vec::new();
        for symbol in &self.symbols {
            let market = Market::new(self.venue.as_str(), symbol.as_str());
            let intervals = store.kept_intervals(&market).await?;
            let comparable =
                intervals.into_iter().filter(|interval| self.exchange.has_candles_of(&interval.to_string()));
            lanes.extend(comparable.map(|interval| (market.clone(), interval)));
        }
        self.sweep.update(&lanes, now);
        self.lanes_due = now + self.timings.newest_interval;
        Ok(())
    }

    /// Compares the windows of `stretch` that have not been compared as they are.
    async fn check(
        &mut self,
        stretch: &Stretch,
        rest: &mut BinanceRest,
        store: &Store,
    ) -> Result<Step, VerifyError> {
        let Stretch { market, interval, from_us, to_us } = stretch;
        let windows =
            store.windows_to_check(market, *interval, *from_us, *to_us, self.checked_before_us()).await?;
        let windows: Vec<CheckableWindow> =
            windows.into_iter().filter(|window| !self.is_in_doubt(stretch, window)).collect();
        let (Some(newest), Some(oldest)) = (windows.first(), windows.last()) else {
            return Ok(Step::Taken(Vec::new()));
        };
        let until_us = newest.open_time_us + interval.length_us();
        let Some(klines) = klines(rest, market, *interval, oldest.open_time_us, until_us).await? else {
            return Ok(Step::Taken(Vec::new()));
        };
        let mut equal = Vec::new();
        for window in windows {
            let kline = klines.get(&window.open_time_us).copied();
            let key = (market.clone(), *interval, window.open_time_us);
            if compare(&window.content, kline.as_ref(), self.rule(market)).is_empty() {
                equal.push(check_of(&window, CheckVerdict::Equal, Vec::new()));
                self.undecided.remove(&key);
            } else if self.doubts.len() < MOST_DOUBTS {
                self.doubt(key, window.version, kline);
            }
        }
        store.note_checks(market, *interval, &equal, now_us()).await?;
        Ok(Step::Taken(vec![(CheckVerdict::Equal, equal.len())]))
    }

    /// What was found to differ before then is compared again: microseconds since 1970, UTC.
    fn checked_before_us(&self) -> i64 {
        now_us() - i64::try_from(self.timings.differing_again.as_micros()).unwrap_or(i64::MAX)
    }

    fn doubt(&mut self, key: WindowKey, version: i64, kline: Option<Kline>) {
        let look_at = Instant::now() + self.timings.second_look;
        self.doubts.push_back(Doubt { key, version, kline, look_at });
    }

    /// Whether a difference of this very candle is known already.
    fn is_in_doubt(&self, stretch: &Stretch, window: &CheckableWindow) -> bool {
        let key = (stretch.market.clone(), stretch.interval, window.open_time_us);
        let undecided = self.undecided.get(&key).is_some_and(|undecided| {
            undecided.version == window.version && Instant::now() < undecided.not_before
        });
        undecided || self.doubts.iter().any(|doubt| doubt.key == key && doubt.version == window.version)
    }

    /// Believes a difference once the exchange says the same again.
    async fn look_again(
        &mut self,
        doubt: Doubt,
        rest: &mut BinanceRest,
        store: &Store,
    ) -> Result<Step, VerifyError> {
        let (market, interval, open_time_us) = doubt.key.clone();
        let Some(window) = window_now(store, &doubt.key, self.checked_before_us()).await? else {
            return Ok(Step::Taken(Vec::new()));
        };
        let until_us = open_time_us + interval.length_us();
        let asked = match klines(rest, &market, interval, open_time_us, until_us).await {
            Ok(asked) => asked,
            Err(error) => {
                self.doubts.push_front(doubt);
                return Err(error.into());
            }
        };
        let Some(asked) = asked else { return Ok(Step::Taken(Vec::new())) };
        let kline = asked.get(&open_time_us).copied();
        let differs = !compare(&window.content, kline.as_ref(), self.rule(&market)).is_empty();
        if !differs {
            return self.decide(&doubt.key, &window, CheckVerdict::Equal, Vec::new(), store).await;
        }
        if kline == doubt.kline && window.version == doubt.version {
            let proof = Proof::new(&window, interval);
            self.case = Some(Case { key: doubt.key, window, kline, proof });
        } else {
            self.doubt(doubt.key, window.version, kline);
        }
        Ok(Step::Taken(Vec::new()))
    }

    /// What was not decided of `market` never will be: its trades are numbered anew, and the exchange has those of before
    /// no more.
    pub(crate) fn forget(&mut self, market: &Market) {
        self.undecided.retain(|(of, ..), _| of != market);
        self.doubts.retain(|doubt| doubt.key.0 != *market);
    }

    /// Asks for the next trades of the window that is being decided, if one is.
    async fn go_on_with_case(&mut self, rest: &mut BinanceRest, store: &Store) -> Result<Step, VerifyError> {
        let Some(mut case) = self.case.take() else { return Ok(Step::Idle) };
        let symbol = case.key.0.symbol.clone();
        let asked = rest.historical_trades(&symbol, case.proof.next_id(), now_us()).await;
        let trades = match asked {
            Ok(trades) => trades,
            Err(error) if error.is_about_the_path() => {
                self.put_off(&case, "this host of the exchange has no single trades (historicalTrades)");
                return Ok(Step::Taken(Vec::new()));
            }
            Err(error) => {
                self.case = Some(case);
                return Err(error.into());
            }
        };
        // Candles over a trade that cannot be held claim nothing, so this one lies beside the window; but where the answer
        // ends would no longer be known.
        let Some(trades) = found(&trades) else {
            self.put_off(&case, "the exchange has a trade beside it that cannot be held");
            return Ok(Step::Taken(Vec::new()));
        };
        match case.proof.take(&trades) {
            Progress::More => self.case = Some(case),
            Progress::Impossible(reason) => self.put_off(&case, reason),
            Progress::Folded(folded) => return self.judge(case, folded, store).await,
        }
        Ok(Step::Taken(Vec::new()))
    }

    fn put_off(&mut self, case: &Case, reason: &str) {
        let reason = match differences(case, self.rule(&case.key.0)).first() {
            Some(difference) => format!("{difference}; {reason}"),
            None => reason.to_owned(),
        };
        let not_before = Instant::now() + UNDECIDED_PAUSE;
        let undecided = Undecided { version: case.window.version, not_before, reason };
        self.undecided.insert(case.key.clone(), undecided);
    }

    /// Says who is wrong, by what the exchange's own trades add up to.
    async fn judge(
        &mut self,
        case: Case,
        folded: Option<Candle>,
        store: &Store,
    ) -> Result<Step, VerifyError> {
        // What was proven is said of the candle that it was proven of, and only while that one stands.
        if window_now(store, &case.key, self.checked_before_us()).await?.as_ref() != Some(&case.window) {
            return Ok(Step::Taken(Vec::new()));
        }
        let wrong = compare_with_trades(&case.window.content, folded.as_ref());
        let (verdict, differences) = if wrong.is_empty() {
            (CheckVerdict::ExchangeDiffers, differences(&case, self.rule(&case.key.0)))
        } else {
            (CheckVerdict::OursWrong, wrong)
        };
        let (market, interval, open_time_us) = &case.key;
        let named = differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            market = %market, interval = %interval, open_time = time_text(*open_time_us), verdict = verdict.as_str(), named,
            "a candle differs from the exchange's"
        );
        self.decide(&case.key, &case.window, verdict, differences, store).await
    }

    async fn decide(
        &mut self,
        key: &WindowKey,
        window: &CheckableWindow,
        verdict: CheckVerdict,
        differences: Vec<Difference>,
        store: &Store,
    ) -> Result<Step, VerifyError> {
        let (market, interval, _) = key;
        let check = check_of(window, verdict, differences);
        store.note_checks(market, *interval, &[check], now_us()).await?;
        self.undecided.remove(key);
        Ok(Step::Taken(vec![(verdict, 1)]))
    }

    fn rule(&self, market: &Market) -> QuoteRule {
        self.rules.get(market.symbol.as_str()).copied().unwrap_or_default()
    }
}

fn differences(case: &Case, rule: QuoteRule) -> Vec<Difference> {
    compare(&case.window.content, case.kline.as_ref(), rule)
}

fn check_of(window: &CheckableWindow, verdict: CheckVerdict, differences: Vec<Difference>) -> CandleCheck {
    let CheckableWindow { open_time_us, version, .. } = *window;
    CandleCheck { open_time_us, version, verdict, differences }
}

fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

/// All of them, where all can be held.
fn found(asked: &[AskedTrade]) -> Option<Vec<Trade>> {
    let trade = |asked: &AskedTrade| match asked {
        AskedTrade::Found(trade) => Some(*trade),
        AskedTrade::Refused(_) | AskedTrade::Merged { .. } => None,
    };
    asked.iter().map(trade).collect()
}
