//! History from the daily files of a simulated exchange whose market began days ago, with everything else that runs beside
//! it: a producer, an aggregator and the repairer of the seam.

use std::time::Duration;

use crds::worker_settings::{HistorySettings, SourceHistorySettings};
use exchange_sim::{
    Command, DumpFault, Running, SimulatorConfig, Speed, Start, SymbolStatus, Trade, TradeLog,
};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use market::{Fixed8, Market};
use store::{CandleQuery, MarketHistory, TradeChain};

use crate::broker::TestBroker;
use crate::exchange::{START_US, start};
use crate::lab::{Aggregator, Lab, wait_until};
use crate::producer::{TestProducer, short_timings};
use crate::repair::{Repairer, SYMBOL, quick_timings};

const MINUTE_US: i64 = 60_000_000;
const PAST: Duration = Duration::from_secs(3 * 86_400);
/// Half an hour of live trades, which is longer than any test here takes.
const LIVE_TRADES: i64 = 1_800;

/// A market that began three days ago with a trade every `apart`, and goes on with one a second from now.
async fn market_with_a_past(apart: Duration) -> Running {
    let (past_us, apart_us) = (micros(PAST), micros(apart));
    let past = (0..past_us / apart_us).map(|index| index * apart_us);
    let live = (1..=LIVE_TRADES).map(|index| past_us + index * 1_000_000);
    let trades: Vec<Trade> = (1..)
        .zip(past.chain(live))
        .map(|(id, time_us)| Trade {
            id,
            price: format!("{}.5", 100 + id % 10).parse().unwrap(),
            quantity: "0.25".parse().unwrap(),
            time_us: START_US + time_us,
            aggregate_id: id,
            buyer_is_maker: id % 2 == 0,
        })
        .collect();
    let config = SimulatorConfig {
        past: PAST,
        speed: Speed::from_factor(1),
        start: Start::Now,
        ..SimulatorConfig::new(vec![TradeLog::recorded(SYMBOL, &trades)])
    };
    start(config).await
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap()
}

fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}

fn days_ago(days: i64) -> Date {
    today().checked_sub(SignedDuration::from_hours(24 * days)).unwrap()
}

fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).unwrap().timestamp()
}

fn from(exchange: &Running, from: Timestamp) -> Option<HistorySettings> {
    let source = SourceHistorySettings { from, dumps_url: exchange.rest_url() };
    let sources = [("spot".to_owned(), source)].into();
    Some(HistorySettings { sources, intervals: vec!["1m".to_owned()], store_trades: true, indicators: None })
}

fn spoil(exchange: &Running, date: Date, fault: DumpFault) {
    exchange.control(&Command::SpoilDump { symbol: SYMBOL.into(), date, fault }).unwrap();
}

/// A lab in which live trades flow.
struct LivePipeline {
    aggregator: Aggregator,
    producer: TestProducer,
}

impl LivePipeline {
    async fn start(lab: &Lab, exchange: &Running) -> Self {
        let aggregator = lab.aggregate();
        let kafka = lab.connection.clone();
        let producer = TestProducer::start_on(&lab.topic, exchange, &[SYMBOL], kafka, short_timings());
        wait_until("live trades come", async || lab.held().await > 0).await;
        Self { aggregator, producer }
    }

    async fn stop(self) {
        self.producer.stop().await;
        self.aggregator.stop().await;
    }
}

impl Lab {
    async fn history(&self) -> MarketHistory {
        self.store.history(&Market::new("binance", SYMBOL)).await.unwrap()
    }

    /// Every trade from `from` to the newest is held: one chain, which begins with the trade before.
    async fn is_whole_from(&self, from: Timestamp) -> bool {
        let chains = self.history().await.chains;
        let [TradeChain { first_time_us, .. }] = chains[..] else { return false };
        first_time_us < from.as_microsecond() && self.missing().await == 0
    }

    async fn wait_until_whole_from(&self, from: Timestamp) {
        wait_until("the chain is unbroken from the wished start on", async || self.is_whole_from(from).await)
            .await;
    }

    /// Every trade that is held is in one candle, and came through the topic or from a file.
    async fn assert_held_once(&self, exchange: &Running) {
        // No more live trades: what is read counts once nothing came while it was read.
        exchange.control(&Command::SetStatus { symbol: SYMBOL.into(), status: SymbolStatus::Halt }).unwrap();
        wait_until("nothing comes while it is read", async || {
            let held = self.held().await;
            let candles = self.store.candles(&CandleQuery::default()).await.unwrap();
            let positions = self.store.positions(&self.topic).await.unwrap();
            let history = self.history().await;
            if self.held().await != held {
                return false;
            }
            let [TradeChain { first_id, last_id, .. }] = history.chains[..] else {
                panic!("the chain is broken: {:?}", history.chains)
            };
            assert_eq!(held, last_id - first_id + 1);
            assert_eq!(candles.iter().map(|candle| candle.trade_count).sum::<i64>(), held);
            let of_topic: i64 = positions.iter().map(|position| position.trades_new).sum();
            assert_eq!(of_topic + history.trades_brought, held);
            true
        })
        .await;
    }

    /// Every minute from `from` to the newest trade is complete, and equal to the exchange's own candle.
    async fn assert_candles_equal(&self, exchange: &Running, from: Timestamp) {
        let from_us = from.as_microsecond();
        let last_us = self.history().await.chains[0].last_time_us;
        let until_us = last_us - last_us.rem_euclid(MINUTE_US);
        let query = CandleQuery { from_us: Some(from_us), to_us: Some(until_us), ..CandleQuery::default() };
        let ours = self.store.candles(&query).await.unwrap();
        assert_eq!(ours.len(), usize::try_from((until_us - from_us) / MINUTE_US).unwrap());
        let mut ours = ours.into_iter();
        let mut next_us = from_us;
        while next_us < until_us {
            let url = format!(
                "{}/api/v3/klines?symbol={SYMBOL}&interval=1m&limit=1000&startTime={}&endTime={}",
                exchange.rest_url(),
                next_us / 1_000,
                until_us / 1_000 - 1
            );
            let answer = reqwest::get(url).await.unwrap().bytes().await.unwrap();
            let theirs: Vec<Vec<serde_json::Value>> = serde_json::from_slice(&answer).unwrap();
            assert!(!theirs.is_empty());
            for row in theirs {
                let candle = ours.next().unwrap();
                let decimal = |at: usize| row[at].as_str().unwrap().parse::<Fixed8>().unwrap();
                assert!(candle.complete, "{candle:?}");
                assert_eq!(candle.open_time_us, row[0].as_i64().unwrap() * 1_000);
                assert_eq!(
                    [candle.open, candle.high, candle.low, candle.close, candle.volume],
                    [decimal(1), decimal(2), decimal(3), decimal(4), decimal(5)]
                );
                assert_eq!(
                    (candle.trade_count, candle.taker_buy_volume),
                    (row[8].as_i64().unwrap(), decimal(9))
                );
                next_us = candle.open_time_us + MINUTE_US;
            }
        }
        assert_eq!(ours.next(), None);
    }

    /// How many minutes of `day` claim to be complete.
    async fn complete_minutes_of(&self, day: Date) -> usize {
        let from_us = midnight(day).as_microsecond();
        let to_us = from_us + 86_400_000_000;
        let query = CandleQuery { from_us: Some(from_us), to_us: Some(to_us), ..CandleQuery::default() };
        self.store.candles(&query).await.unwrap().iter().filter(|candle| candle.complete).count()
    }
}

async fn history_joins_the_live_trades(lab: Lab) {
    let exchange = market_with_a_past(Duration::from_secs(60)).await;
    let live = LivePipeline::start(&lab, &exchange).await;
    let wished = midnight(days_ago(2));
    let repairer = Repairer::with_history(&lab, &exchange, quick_timings(), from(&exchange, wished));
    lab.wait_until_whole_from(wished).await;
    lab.assert_held_once(&exchange).await;
    lab.assert_candles_equal(&exchange, wished).await;
    // Two days and the trade before them came from files; today's seam did not, and nothing else went over the topic.
    assert_eq!(lab.history().await.trades_brought, 2 * 1_440 + 1);
    let status = repairer.status();
    let spot = &status.history["spot"];
    assert_eq!((spot.from, spot.trades_loaded, spot.dumps.available), (wished, 2 * 1_440 + 1, true));
    let symbol = &spot.symbols[SYMBOL];
    assert_eq!((symbol.days, symbol.days_loaded, symbol.trades_left), (3, 3, 0));
    repairer.stop().await;
    live.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_joins_the_live_trades_in_one_file() {
    let broker = TestBroker::start();
    history_joins_the_live_trades(Lab::embedded(&broker).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_joins_the_live_trades_on_real_services() {
    if let Some(lab) = Lab::real(3).await {
        history_joins_the_live_trades(lab).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_loader_goes_on_where_it_was_and_doubles_nothing() {
    Lab::on_each_server(1, async |lab: Lab| {
        let exchange = market_with_a_past(Duration::from_secs(5)).await;
        let live = LivePipeline::start(&lab, &exchange).await;
        let wished = midnight(days_ago(2));
        let brought = async || lab.history().await.trades_brought;
        let mut kills = 0;
        while kills < 3 {
            let before = brought().await;
            let repairer = Repairer::with_history(&lab, &exchange, quick_timings(), from(&exchange, wished));
            wait_until("more of it is loaded", async || brought().await >= before + 4_000).await;
            repairer.kill().await;
            kills += 1;
        }
        assert!(brought().await < 2 * 17_280, "it was killed in the middle");
        assert!(lab.missing().await > 0);
        let repairer = Repairer::with_history(&lab, &exchange, quick_timings(), from(&exchange, wished));
        lab.wait_until_whole_from(wished).await;
        lab.assert_held_once(&exchange).await;
        lab.assert_candles_equal(&exchange, wished).await;
        repairer.stop().await;
        live.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_named_and_loaded_once_they_are_mended() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let exchange = market_with_a_past(Duration::from_secs(60)).await;
    let (before_yesterday, yesterday) = (days_ago(2), days_ago(1));
    spoil(&exchange, before_yesterday, DumpFault::Corrupt);
    spoil(&exchange, yesterday, DumpFault::Short);
    // Only files reach further back than today.
    let minutes_today = (Timestamp::now().as_microsecond() - midnight(today()).as_microsecond()) / MINUTE_US;
    let past_trades = i64::try_from(PAST.as_secs() / 60).unwrap();
    let before_id = past_trades - minutes_today;
    exchange.control(&Command::ForgetTrades { symbol: SYMBOL.into(), before_id }).unwrap();
    let live = LivePipeline::start(&lab, &exchange).await;
    let wished = midnight(before_yesterday);
    let repairer = Repairer::with_history(&lab, &exchange, quick_timings(), from(&exchange, wished));
    let unavailable = || {
        let status = repairer.status();
        Some(status.history.get("spot")?.symbols.get(SYMBOL)?.unavailable.clone())
    };
    let is_named = |words: &str| {
        let file = format!("{SYMBOL}-trades-{before_yesterday}.zip");
        unavailable()
            .is_some_and(|files| files.iter().any(|bad| bad.file == file && bad.reason.contains(words)))
    };
    wait_until("the corrupt file is named", async || is_named("is corrupt: its sha256 is")).await;
    wait_until("the other file is loaded", async || lab.history().await.loaded.len() == 2).await;
    // A day, the last tenth of another, and not more than a few trades of today that its edges touch.
    wait_until("the seam is repaired", async || lab.missing().await <= 1_440 + 146).await;
    assert_eq!(lab.complete_minutes_of(before_yesterday).await, 0);
    assert!(lab.complete_minutes_of(yesterday).await < 1_440 - 130);
    // What REST has no more is not void, and stays missing.
    assert_eq!(repairer.status().ids_voided, 0);
    spoil(&exchange, before_yesterday, DumpFault::NoChecksum);
    wait_until("it is told that it cannot be verified", async || is_named("CHECKSUM does not exist")).await;
    assert!(lab.missing().await >= 1_440 + 140);
    spoil(&exchange, before_yesterday, DumpFault::Header);
    wait_until("it is loaded", async || lab.history().await.loaded.len() == 3).await;
    wait_until("only the short file's rows are missing", async || (140..=146).contains(&lab.missing().await))
        .await;
    // Issued anew, with the rows that it lacked.
    spoil(&exchange, yesterday, DumpFault::None);
    lab.wait_until_whole_from(wished).await;
    lab.assert_held_once(&exchange).await;
    lab.assert_candles_equal(&exchange, wished).await;
    wait_until("nothing is unavailable", async || unavailable() == Some(Vec::new())).await;
    repairer.stop().await;
    live.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_moved_back_is_loaded_and_one_that_is_moved_forward_takes_nothing_away() {
    let broker = TestBroker::start();
    let lab = Lab::embedded(&broker).await;
    let exchange = market_with_a_past(Duration::from_secs(60)).await;
    let live = LivePipeline::start(&lab, &exchange).await;
    // Of today there is no file: the exchange is asked.
    let now_s = Timestamp::now().as_second();
    let half_s = (now_s - midnight(today()).as_second()) / 2;
    let half_of_today = Timestamp::from_second(now_s - half_s).unwrap();
    let repairer = Repairer::with_history(&lab, &exchange, quick_timings(), from(&exchange, half_of_today));
    lab.wait_until_whole_from(half_of_today).await;
    assert_eq!(lab.history().await.trades_brought, 0);
    repairer.stop().await;
    // From the middle of a day, which has a file.
    let middle = midnight(days_ago(2)) + SignedDuration::from_hours(12);
    let repairer = Repairer::with_history(&lab, &exchange, quick_timings(), from(&exchange, middle));
    lab.wait_until_whole_from(middle).await;
    lab.assert_held_once(&exchange).await;
    lab.assert_candles_equal(&exchange, middle).await;
    let brought = lab.history().await.trades_brought;
    assert_eq!(brought, 1_440 + 720 + 1);
    repairer.stop().await;
    let later = midnight(days_ago(1));
    let repairer = Repairer::with_history(&lab, &exchange, quick_timings(), from(&exchange, later));
    wait_until("the later start is wished", async || {
        let start = lab.history().await.start;
        start.is_some_and(|start| start.from_us == later.as_microsecond())
    })
    .await;
    assert!(lab.is_whole_from(middle).await);
    assert_eq!(lab.history().await.trades_brought, brought);
    repairer.stop().await;
    // None any more.
    let repairer = Repairer::with_history(&lab, &exchange, quick_timings(), None);
    wait_until("no start is wished", async || lab.history().await.start.is_none()).await;
    assert!(lab.is_whole_from(middle).await);
    repairer.stop().await;
    live.stop().await;
}
