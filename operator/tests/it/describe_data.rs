//! What is said of the data: whether trades come, whether any is missing, whether the candles are right.

use crds::candle_interval::CandleInterval;
use crds::worker_settings::Feed;
use crds::worker_status::{
    DatabaseRoomStatus, DependencyStatus, SourceHistoryStatus, SymbolHistoryStatus, SymbolState,
    UnavailableFile, UnavailableHole, UndecidedCheck,
};
use crds::{CryptoPipeline, CryptoPipelineStatus};
use operator::reconcile::apply::Applied;
use operator::reconcile::describe::{Findings, describe};
use operator::reconcile::holes::{HoleReport, Missing};
use operator::reconcile::observe::{CandleChecks, Observed, Reading};
use operator::reconcile::plan::{Place, plan};
use store::{
    CheckCount, CheckVerdict, Difference, DifferingCandle, HeadState, Hole, RefusedIds, RefusedTrades,
};

use crate::describe::{assert_consistent, condition, said, status, with_symbol};
use crate::world::{NOW, away, fine, fixture, minimal, running_world, schema_as_needed, second};
use crate::world::{known, producer, report};

/// [`status`] where these trades are missing and count.
fn status_missing(
    pipeline: &CryptoPipeline,
    observed: &Observed,
    missing: &[(&str, Missing)],
) -> CryptoPipelineStatus {
    let plan = plan(pipeline, observed, Place::Cluster, second(NOW));
    let missing =
        missing.iter().map(|(symbol, missing)| (market::Market::new("binance", *symbol), missing.clone()));
    let holes = HoleReport { missing: missing.collect(), ..HoleReport::default() };
    let (plan, applied) = (plan.as_ref().map_err(Vec::as_slice), Applied::default());
    let findings = Findings { pipeline, observed, plan, applied: &applied, holes: Some(&holes), lag: None };
    describe(&findings, second(NOW))
}

#[test]
fn data_flows_only_if_every_symbol_streams() {
    let pipeline = fixture("minimal");
    for (state, expected) in [
        (SymbolState::Streaming, "True/TradesArriving"),
        (SymbolState::Subscribed, "Unknown/WaitingForTrades"),
        (SymbolState::Unchecked, "Unknown/WaitingForTrades"),
        (SymbolState::Silent, "False/SymbolSilent"),
        (SymbolState::Frozen, "False/PriceFrozen"),
        (SymbolState::NotTrading, "False/SymbolNotTrading"),
        (SymbolState::Unknown, "False/UnknownSymbol"),
    ] {
        let status = status(&pipeline, &with_symbol(&pipeline, state), &Applied::default());
        assert_eq!(said(&status, "DataFlowing"), expected, "{state:?}");
    }
}

#[test]
fn of_tickers_nobody_can_tell_whether_one_is_missing() {
    let mut pipeline = fixture("minimal");
    pipeline.spec.sources[0].feed = Feed::Tickers;
    let observed = running_world(&pipeline);
    let plan = plan(&pipeline, &observed, Place::Cluster, second(NOW)).unwrap();
    assert!(plan.workloads.repairer.is_none(), "nothing can be repaired");
    assert_eq!(plan.workloads.producers[0].settings.source.feed, Feed::Tickers);
    let tickers = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&tickers, "Ready"), "True/AllReady");
    assert_eq!(said(&tickers, "DataFlowing"), "True/TradesArriving");
    assert_eq!(said(&tickers, "DataContinuous"), "Unknown/NotApplicable");
    assert_eq!(said(&tickers, "DataVerified"), "Unknown/NotApplicable");
    assert_eq!(tickers.missing_trades, None);
    assert_eq!(tickers.symbols, status(&fixture("minimal"), &observed, &Applied::default()).symbols);
}

#[test]
fn of_two_producers_one_that_streams_is_enough() {
    let pipeline = fixture("minimal");
    let mut observed = with_symbol(&pipeline, SymbolState::Silent);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.producers.push(report(producer("binance", &pipeline.spec.sources[0].symbols)));
    let status = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&status, "DataFlowing"), "True/TradesArriving");
}

#[test]
fn workers_that_are_cut_off_are_said_with_the_cause() {
    let pipeline = fixture("minimal");
    let cut_off = DependencyStatus { available: false, message: "connection refused".to_owned() };
    let mut observed = running_world(&pipeline);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.producers[0].answer.as_mut().unwrap().exchange = cut_off.clone();
    assert_eq!(
        said(&status(&pipeline, &observed, &Applied::default()), "DataFlowing"),
        "False/ExchangeUnreachable"
    );
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.aggregators[0].answer.as_mut().unwrap().database = cut_off;
    let blocked = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&blocked, "DataFlowing"), "False/WorkersBlocked");
    assert_eq!(
        condition(&blocked, "DataFlowing").message,
        "no aggregator reaches the database: connection refused"
    );
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.aggregators[0].answer = Err("timed out".to_owned());
    reports.producers[0].answer = Err("timed out".to_owned());
    let silent = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&silent, "DataFlowing"), "Unknown/WorkersNotAnswering");
}

#[test]
fn missing_trades_are_named_with_their_ids() {
    let pipeline = fixture("minimal");
    let observed = running_world(&pipeline);
    let missing =
        Missing { trades: 1_203, holes: vec![Hole { first_id: 5_412_300_001, last_id: 5_412_301_203 }] };
    let status =
        status_missing(&pipeline, &observed, &[("BTCUSDT", missing.clone()), ("NOLONGERWISHED", missing)]);
    assert_eq!(said(&status, "DataContinuous"), "False/TradesMissing");
    let message = &condition(&status, "DataContinuous").message;
    assert_eq!(message, "binance:BTCUSDT misses 1,203 trades (ids 5412300001..5412301203)");
    assert_eq!(status.missing_trades, Some(1_203));
    assert_eq!(status.unhealthy_symbols[0].reason, "TradesMissing");
}

#[test]
fn without_a_fresh_probe_of_every_market_the_end_is_unknown() {
    let pipeline = fixture("minimal");
    let asked_at = |probed_at_us: Option<i64>| {
        let mut schema = schema_as_needed(&pipeline);
        schema.ledgers[0].head = probed_at_us.map(|probed_at_us| HeadState { last_id: 50, probed_at_us });
        let observed = Observed { schema: known(schema), ..running_world(&pipeline) };
        status(&pipeline, &observed, &Applied::default())
    };
    let (now_us, minute_us) = (NOW * 1_000_000, 60_000_000);
    assert_eq!(said(&asked_at(Some(now_us - 5 * minute_us)), "DataContinuous"), "True/ChainUnbroken");
    for probed_at_us in [None, Some(now_us - 5 * minute_us - 1)] {
        let status = asked_at(probed_at_us);
        assert_eq!(said(&status, "DataContinuous"), "Unknown/HeadNotProbed");
        let message = &condition(&status, "DataContinuous").message;
        assert!(message.ends_with("nobody has asked for the last id of binance:BTCUSDT"), "{message}");
    }
}

#[test]
fn why_a_hole_stays_open_is_said() {
    let pipeline = fixture("minimal");
    let mut observed = running_world(&pipeline);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.repairers[0].answer.as_mut().unwrap().unavailable = vec![UnavailableHole {
        venue: "binance".to_owned(),
        symbol: "BTCUSDT".to_owned(),
        first_id: 10,
        last_id: 12,
        reason: "the exchange does not have these trades (any more)".to_owned(),
    }];
    let missing = Missing { trades: 3, holes: vec![Hole { first_id: 10, last_id: 12 }] };
    let status = status_missing(&pipeline, &observed, &[("BTCUSDT", missing)]);
    assert_eq!(
        condition(&status, "DataContinuous").message,
        "binance:BTCUSDT misses 3 trades (ids 10..12); repair of binance:BTCUSDT: the exchange does not have these \
         trades (any more)"
    );
}

/// The full pipeline, of whose history the repairer tells this.
fn with_history(symbol: SymbolHistoryStatus, trades_per_second: u64, seconds_left: Option<u64>) -> Observed {
    let pipeline = fixture("full");
    let mut observed = running_world(&pipeline);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    let spot = SourceHistoryStatus {
        trades_per_second,
        seconds_left,
        dumps: fine(),
        symbols: [("BTCUSDT".to_owned(), symbol.clone()), ("SOLUSDT".to_owned(), symbol)].into(),
        ..SourceHistoryStatus::default()
    };
    reports.repairers[0].answer.as_mut().unwrap().history = [("spot".to_owned(), spot)].into();
    observed
}

#[test]
fn history_that_is_loading_is_told_with_what_is_missing_and_how_far_it_is() {
    let pipeline = fixture("full");
    let bad = UnavailableFile { file: "x.zip".to_owned(), reason: "x.zip is corrupt".to_owned() };
    let symbol =
        SymbolHistoryStatus { days: 90, days_loaded: 45, unavailable: vec![bad], ..Default::default() };
    let mut observed = with_history(symbol, 12_000, Some(181));
    let plan = plan(&pipeline, &observed, Place::Cluster, second(NOW)).unwrap();
    let mut holes = HoleReport::default();
    let missing = Missing { trades: 5_000, holes: vec![Hole { first_id: 1, last_id: 5_000 }] };
    holes.missing.insert(market::Market::new("binance", "BTCUSDT"), missing);
    let applied = Applied::default();
    let describe_with = |observed: &Observed| {
        let (pipeline, plan) = (&pipeline, Ok(&plan));
        let findings =
            Findings { pipeline, observed, plan, applied: &applied, holes: Some(&holes), lag: None };
        describe(&findings, second(NOW))
    };
    let status = describe_with(&observed);
    assert_eq!(said(&status, "DataContinuous"), "False/TradesMissing");
    assert_eq!(
        condition(&status, "DataContinuous").message,
        "binance:BTCUSDT misses 5,000 trades (ids 1..5000); history of source spot: 90 of 180 files loaded, \
         12,000 trades a second, about 4 min left, not usable: x.zip is corrupt and 1 more"
    );
    let history = &status.history[0];
    assert_eq!((history.source.as_str(), history.files, history.files_loaded), ("spot", Some(180), Some(90)));
    // By whole minutes.
    assert_eq!(history.estimated_end.as_ref().unwrap().0, second(NOW + 181 - (NOW + 181) % 60 + 60));
    observed.workers = away("not answered");
    let silent = describe_with(&observed);
    assert_eq!((silent.history[0].files, silent.history[0].estimated_end.clone()), (None, None));
}

#[test]
fn nothing_is_continuous_before_the_first_trade_of_the_history_is_known() {
    let pipeline = fixture("full");
    let loaded = SymbolHistoryStatus { days: 90, days_loaded: 90, ..Default::default() };
    let known_of_series = |from_us: Option<i64>, since_us: Option<i64>| {
        let mut observed = with_history(loaded.clone(), 0, Some(0));
        let Reading::Known { value: schema, .. } = &mut observed.schema else { unreachable!() };
        for ledger in &mut schema.ledgers {
            (ledger.history_from_us, ledger.series_since_us) = (from_us, since_us);
        }
        status(&pipeline, &observed, &Applied::default())
    };
    let known_from = |from_us: Option<i64>| known_of_series(from_us, None);
    let wished_us = pipeline.spec.sources[0].history.as_ref().unwrap().from.0.as_microsecond();
    assert_eq!(said(&known_from(Some(wished_us)), "DataContinuous"), "True/ChainUnbroken");
    assert_eq!(said(&known_from(Some(wished_us - 1)), "DataContinuous"), "True/ChainUnbroken");
    // A series that began later wishes nothing from before.
    let of_series = known_of_series(Some(wished_us + 9), Some(wished_us + 9));
    assert_eq!(said(&of_series, "DataContinuous"), "True/ChainUnbroken");
    for not_known in [None, Some(wished_us + 1)] {
        let status = known_from(not_known);
        assert_eq!(said(&status, "DataContinuous"), "Unknown/HistoryNotBegun");
        let message = &condition(&status, "DataContinuous").message;
        assert!(message.ends_with("of binance:BTCUSDT, binance:SOLUSDT"), "{message}");
    }
}

#[test]
fn trades_that_cannot_be_held_are_named_with_the_reason() {
    let pipeline = fixture("minimal");
    let mut schema = schema_as_needed(&pipeline);
    let newest = vec![RefusedIds { first_id: 123, last_id: 123, reason: market::RefusalReason::Overflow }];
    schema.ledgers[0].refused = RefusedTrades { trades: 1, newest };
    let observed = Observed { schema: known(schema), ..running_world(&pipeline) };
    let status_then = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&status_then, "DataContinuous"), "False/TradesRefused");
    let named = "1 trade refused (ids 123 overflow)";
    assert_eq!(condition(&status_then, "DataContinuous").message, format!("binance:BTCUSDT: {named}"));
    assert_eq!(status_then.missing_trades, Some(0));
    assert_eq!(status_then.unhealthy_symbols[0].reason, "TradesRefused");
    // Beside what is missing they are not forgotten.
    let missing = Missing { trades: 1, holes: vec![Hole { first_id: 7, last_id: 7 }] };
    let both = status_missing(&pipeline, &observed, &[("BTCUSDT", missing)]);
    assert_eq!(said(&both, "DataContinuous"), "False/TradesMissing");
    assert_eq!(
        condition(&both, "DataContinuous").message,
        format!("binance:BTCUSDT misses 1 trade (ids 7); binance:BTCUSDT: {named}")
    );
}

#[test]
fn a_fresh_hole_and_an_empty_ledger_are_unknown() {
    let pipeline = fixture("minimal");
    let mut schema = schema_as_needed(&pipeline);
    schema.ledgers[0].missing = 3;
    schema.ledgers[0].holes = vec![Hole { first_id: 10, last_id: 12 }];
    let fresh = Observed { schema: known(schema), ..running_world(&pipeline) };
    let status_then = status(&pipeline, &fresh, &Applied::default());
    assert_eq!(said(&status_then, "DataContinuous"), "Unknown/HoleUnconfirmed");
    assert_eq!(status_then.missing_trades, Some(0));
    let mut schema = schema_as_needed(&pipeline);
    schema.ledgers.pop();
    let empty = Observed { schema: known(schema), ..running_world(&pipeline) };
    assert_eq!(
        said(&status(&pipeline, &empty, &Applied::default()), "DataContinuous"),
        "Unknown/NoTradesYet"
    );
}

fn market(symbol: &str) -> market::Market {
    market::Market::new("binance", symbol)
}

fn count(symbol: &str, verdict: CheckVerdict, windows: i64) -> CheckCount {
    CheckCount { market: market(symbol), interval: "1m".parse().unwrap(), verdict, windows }
}

/// A world in which these candles were compared.
fn compared(pipeline: &CryptoPipeline, counts: Vec<CheckCount>, differing: Vec<DifferingCandle>) -> Observed {
    let mut schema = schema_as_needed(pipeline);
    schema.checks = CandleChecks { counts, differing };
    Observed { schema: known(schema), ..running_world(pipeline) }
}

fn equal_and_differing() -> Vec<CheckCount> {
    vec![
        count("BTCUSDT", CheckVerdict::Equal, 1_230),
        count("BTCUSDT", CheckVerdict::ExchangeDiffers, 4),
        count("NOLONGERWISHED", CheckVerdict::Equal, 7),
    ]
}

fn wrong(symbol: &str, fields: usize) -> DifferingCandle {
    let difference =
        Difference { field: "volume".to_owned(), ours: "3".to_owned(), theirs: Some("4".to_owned()) };
    DifferingCandle {
        market: market(symbol),
        interval: "1m".parse().unwrap(),
        open_time_us: 1_767_225_600_000_000,
        verdict: CheckVerdict::OursWrong,
        differences: vec![difference; fields],
    }
}

#[test]
fn candles_that_follow_from_the_exchanges_trades_are_verified_with_figures() {
    let pipeline = fixture("minimal");
    let observed = compared(&pipeline, equal_and_differing(), vec![]);
    let status = status(&pipeline, &observed, &Applied::default());
    assert_consistent(&status);
    assert_eq!(said(&status, "DataVerified"), "True/CandlesVerified");
    assert_eq!(
        condition(&status, "DataVerified").message,
        "1,234 candles checked, 1,230 equal, 4 differ at the exchange"
    );
}

#[test]
fn a_wrong_candle_is_named_with_what_mends_it_whoever_looks_now() {
    for repairs in [true, false] {
        let pipeline = minimal(|pipeline| pipeline.spec.repair.enabled = repairs);
        let differing = vec![wrong("BTCUSDT", 3), wrong("NOLONGERWISHED", 1)];
        let observed = compared(&pipeline, equal_and_differing(), differing);
        let status = status(&pipeline, &observed, &Applied::default());
        assert_consistent(&status);
        assert_eq!(said(&status, "DataVerified"), "False/CandlesWrong");
        assert_eq!(
            condition(&status, "DataVerified").message,
            "binance:BTCUSDT 1m 2026-01-01T00:00:00Z: volume is 3, the exchange has 4 (and 2 fields more); \
             `cryptopipeline rebuild` with --symbol BTCUSDT --from 2026-01-01T00:00:00Z --to 2026-01-01T00:01:00Z folds \
             it again from the exchange"
        );
        assert_eq!(status.unhealthy_symbols.len(), 1);
        assert_eq!(status.unhealthy_symbols[0].reason, "CandlesWrong");
        // The resources are none the worse for it.
        assert_eq!(said(&status, "Ready"), "True/AllReady");
    }
}

#[test]
fn what_nobody_compares_is_unknown() {
    let counts = equal_and_differing;
    let message = |pipeline: &CryptoPipeline, observed: &Observed| {
        let status = status(pipeline, observed, &Applied::default());
        assert_eq!(said(&status, "DataVerified"), "Unknown/NotCompared");
        condition(&status, "DataVerified").message.clone()
    };
    let pipeline = fixture("minimal");
    let nothing = compared(&pipeline, vec![], vec![]);
    assert_eq!(message(&pipeline, &nothing), "no candle has been compared with the exchange's own yet");
    let off = minimal(|pipeline| pipeline.spec.repair.enabled = false);
    let said_when_off = message(&off, &compared(&off, counts(), vec![]));
    assert!(said_when_off.starts_with("without spec.repair.enabled"), "{said_when_off}");
    let odd = minimal(|pipeline| {
        pipeline.spec.aggregation.intervals =
            vec![CandleInterval::FiveSeconds, CandleInterval::FifteenSeconds];
    });
    let said_of_odd = message(&odd, &compared(&odd, vec![], vec![]));
    assert_eq!(said_of_odd, "the exchange has no candles of its own of 5s, 15s");
    let mut stale = compared(&pipeline, counts(), vec![]);
    let Reading::Known { value: schema, .. } = &mut stale.schema else { unreachable!() };
    schema.ledgers[0].head = None;
    let said_of_stale = message(&pipeline, &stale);
    assert!(said_of_stale.ends_with("nobody compares those of binance:BTCUSDT now"), "{said_of_stale}");
}

#[test]
fn a_difference_that_is_not_decided_is_neither_good_nor_bad() {
    let pipeline = fixture("minimal");
    let mut observed = compared(&pipeline, equal_and_differing(), vec![]);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.repairers[0].answer.as_mut().unwrap().undecided = vec![UndecidedCheck {
        venue: "binance".to_owned(),
        symbol: "BTCUSDT".to_owned(),
        interval: "1m".to_owned(),
        open_time: "2026-01-01T00:00:00Z".to_owned(),
        reason: "volume is 3, the exchange has 4; its trades are being asked for".to_owned(),
    }];
    let status = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&status, "DataVerified"), "Unknown/CheckUndecided");
    let message = &condition(&status, "DataVerified").message;
    assert!(message.contains("binance:BTCUSDT 1m 2026-01-01T00:00:00Z: volume is 3"), "{message}");
}

#[test]
fn storage_is_told_and_held_against_the_limit() {
    let mut pipeline = fixture("minimal");
    let with_room = |pipeline: &CryptoPipeline, gigabytes: Option<u64>| {
        let mut observed = running_world(pipeline);
        let Reading::Known { value: workers, .. } = &mut observed.workers else { panic!() };
        let aggregator = workers.aggregators[0].answer.as_mut().unwrap();
        aggregator.database_room = gigabytes.map(|gigabytes| DatabaseRoomStatus {
            schema_bytes: gigabytes * 1_000_000_000 + 1,
            trades_kept_since_us: Some(NOW * 1_000_000),
            candles_kept_since_us: None,
        });
        status(pipeline, &observed, &Applied::default())
    };
    // Without a limit nothing is judged, and what is kept is told all the same.
    let told = with_room(&pipeline, Some(42));
    assert!(told.conditions.iter().all(|condition| condition.type_ != "StorageWithinLimit"));
    let storage = told.storage.unwrap();
    assert_eq!((storage.bytes, storage.candles_kept_since), (42_000_000_000, None));
    assert_eq!(storage.trades_kept_since.unwrap().0, second(NOW));
    pipeline.spec.database.as_mut().unwrap().storage_limit = Some("100G".into());
    for (gigabytes, expected, message) in [
        (Some(79), "True/StorageSufficient", "the tables take 79 GB of 100G (79 %)"),
        (
            Some(80),
            "False/StorageNearLimit",
            "the tables take 80 GB of 100G (80 %): raise database.storageLimit",
        ),
        (Some(99), "False/StorageNearLimit", "(99 %)"),
        (Some(100), "False/StorageLimitReached", "the tables take 100 GB of 100G (100 %)"),
        (None, "Unknown/WorkersNotAnswering", "no aggregator has told"),
    ] {
        let told = with_room(&pipeline, gigabytes);
        assert_eq!(said(&told, "StorageWithinLimit"), expected);
        let said = condition(&told, "StorageWithinLimit").message.clone();
        assert!(said.contains(message), "{said}");
        // It takes nothing from being ready.
        assert_eq!(condition(&told, "Ready").status, "True");
    }
}
