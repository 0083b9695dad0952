//! `cryptopipeline gaps`: which trades are held, which are missing, and how far the exchange's ids go.

use std::io::{self, Write};
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};
use store::{Hole, MarketLedger, RefusedIds, time_text};

use crate::output::{self, FOUND_WRONG, Format, FormatOptions, age, counted, print, series_name};
use crate::place::Opened;
use crate::table::{self, Column};

/// Prints what is held and what is missing.
pub(crate) async fn run(opened: Opened, options: FormatOptions) -> anyhow::Result<ExitCode> {
    let store = opened.store;
    let ledgers = store.ledgers().await?;
    let ended = store.ended_ledgers().await?;
    store.close().await;
    let now = Timestamp::now();
    print(|out| match options.output {
        Format::Table => write_table(&ledgers, &ended, now, out),
        Format::Json => write_json(&ledgers, &ended, out),
    })?;
    let is_whole = ledgers
        .iter()
        .all(|ledger| ledger.missing == 0 && ledger.refused.trades == 0 && ledger.restart.is_none());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(FOUND_WRONG) })
}

fn write_table(
    ledgers: &[MarketLedger],
    ended: &[MarketLedger],
    now: Timestamp,
    mut out: &mut dyn Write,
) -> io::Result<()> {
    let columns = [
        Column::Left("SYMBOL"),
        Column::Right("FIRST ID"),
        Column::Right("LAST ID"),
        Column::Left("LAST TRADE"),
        Column::Right("HELD"),
        Column::Right("MISSING"),
        Column::Right("EXCHANGE'S LAST ID"),
        Column::Left("ASKED"),
    ];
    let text = |id: Option<i64>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let row = |ledger: &MarketLedger| {
        vec![
            name(ledger),
            text(ledger.first_trade_id),
            text(ledger.last_trade_id),
            ledger.last_trade_time_us.map_or_else(|| "-".to_owned(), time_text),
            ledger.trades_held.to_string(),
            ledger.missing.to_string(),
            text(ledger.head.map(|head| head.last_id)),
            ledger.head.map_or_else(|| "never".to_owned(), |head| ago(head.probed_at_us, now)),
        ]
    };
    table::write(&columns, &ledgers.iter().map(row).collect::<Vec<_>>(), &mut out)?;
    // What series that have ended miss, the exchange has no more.
    let holes: Vec<Vec<String>> = ledgers.iter().chain(ended).flat_map(hole_rows).collect();
    if !holes.is_empty() {
        writeln!(out)?;
        let columns = [
            Column::Left("SYMBOL"),
            Column::Right("MISSING FROM"),
            Column::Right("TO"),
            Column::Right("TRADES"),
        ];
        table::write(&columns, &holes, &mut out)?;
    }
    let refused: Vec<Vec<String>> = ledgers.iter().flat_map(refused_rows).collect();
    if !refused.is_empty() {
        writeln!(out)?;
        let columns =
            [Column::Left("SYMBOL"), Column::Right("REFUSED FROM"), Column::Right("TO"), Column::Left("WHY")];
        table::write(&columns, &refused, &mut out)?;
    }
    let restarted: Vec<Vec<String>> = ledgers.iter().filter_map(restart_row).collect();
    if !restarted.is_empty() {
        writeln!(out)?;
        let columns = [Column::Left("SYMBOL"), Column::Left("NUMBERED ANEW SINCE")];
        table::write(&columns, &restarted, &mut out)?;
    }
    writeln!(out, "\n{}", verdict(ledgers))
}

fn name(ledger: &MarketLedger) -> String {
    series_name(&ledger.market, ledger.series)
}

/// Where the exchange numbers anew and nobody has begun a series for it.
fn restart_row(ledger: &MarketLedger) -> Option<Vec<String>> {
    Some(vec![name(ledger), time_text(ledger.restart?.since_us)])
}

/// The newest holes, and in one row what is beyond them.
fn hole_rows(ledger: &MarketLedger) -> Vec<Vec<String>> {
    let market = name(ledger);
    let row = |hole: &Hole| {
        vec![market.clone(), hole.first_id.to_string(), hole.last_id.to_string(), hole.count().to_string()]
    };
    let mut rows: Vec<Vec<String>> = ledger.holes.iter().map(row).collect();
    let named: i64 = ledger.holes.iter().map(|hole| hole.count()).sum();
    if named < ledger.missing {
        rows.push(vec![market, "older".to_owned(), "holes".to_owned(), (ledger.missing - named).to_string()]);
    }
    rows
}

/// The newest trades that exist and cannot be held.
fn refused_rows(ledger: &MarketLedger) -> Vec<Vec<String>> {
    let row = |RefusedIds { first_id, last_id, reason }: &RefusedIds| {
        vec![name(ledger), first_id.to_string(), last_id.to_string(), reason.to_string()]
    };
    ledger.refused.newest.iter().map(row).collect()
}

fn ago(time_us: i64, now: Timestamp) -> String {
    let then = Timestamp::from_microsecond(time_us).unwrap_or(now);
    format!("{} ago", age(then, now))
}

fn verdict(ledgers: &[MarketLedger]) -> String {
    let missing: i64 = ledgers.iter().map(|ledger| ledger.missing).sum();
    let symbols = counted(i64::try_from(ledgers.len()).unwrap_or(i64::MAX), "symbol", "symbols");
    let never_asked = ledgers.iter().filter(|ledger| ledger.head.is_none()).count();
    let end = match never_asked {
        0 => "up to the last id that the exchange told".to_owned(),
        count => format!(
            "up to the last id held; nobody has asked the exchange for the last id of {}",
            counted(i64::try_from(count).unwrap_or(i64::MAX), "symbol", "symbols")
        ),
    };
    let refused: i64 = ledgers.iter().map(|ledger| ledger.refused.trades).sum();
    let refused = match refused {
        0 => String::new(),
        count => format!("; {} and cannot be held", counted(count, "trade exists", "trades exist")),
    };
    let restarted = ledgers.iter().filter(|ledger| ledger.restart.is_some()).count();
    let restarted = match i64::try_from(restarted).unwrap_or(i64::MAX) {
        0 => String::new(),
        count => format!(
            "; the ids of {} began anew: say since when in spec.sources[].series",
            counted(count, "symbol", "symbols")
        ),
    };
    let trades = counted(missing, "trade is", "trades are");
    if missing == 0 {
        format!("no trade of {symbols} is missing {end}{refused}{restarted}")
    } else {
        format!("{trades} missing of {symbols} {end}{refused}{restarted}")
    }
}

fn write_json(ledgers: &[MarketLedger], ended: &[MarketLedger], out: &mut dyn Write) -> io::Result<()> {
    let hole =
        |hole: &Hole| json!({"first_id": hole.first_id, "last_id": hole.last_id, "count": hole.count()});
    let refused = |ids: &RefusedIds| json!({"first_id": ids.first_id, "last_id": ids.last_id, "reason": ids.reason.as_str()});
    let symbol = |ledger: &MarketLedger| {
        json!({
            "venue": ledger.market.venue,
            "symbol": ledger.market.symbol,
            "series": ledger.series,
            "numbered_anew_since": ledger.restart.map(|restart| time_text(restart.since_us)),
            "first_trade_id": ledger.first_trade_id,
            "last_trade_id": ledger.last_trade_id,
            "last_trade_time": ledger.last_trade_time_us.map(time_text),
            "trades_held": ledger.trades_held,
            "missing": ledger.missing,
            "holes": ledger.holes.iter().map(hole).collect::<Vec<_>>(),
            "refused": ledger.refused.newest.iter().map(refused).collect::<Vec<_>>(),
            "exchange_last_id": ledger.head.map(|head| head.last_id),
            "exchange_asked_at": ledger.head.map(|head| time_text(head.probed_at_us)),
        })
    };
    let missing: i64 = ledgers.iter().map(|ledger| ledger.missing).sum();
    let symbols: Vec<Value> = ledgers.iter().map(symbol).collect();
    let ended: Vec<Value> = ended.iter().map(symbol).collect();
    let ledgers = json!({"missing": missing, "symbols": symbols, "ended_series": ended});
    output::write_json(&ledgers, out)
}

#[cfg(test)]
mod tests {
    use market::{IdRestart, Market, RefusalReason};
    use store::{HeadState, RefusedTrades};

    use super::*;

    const NOW_US: i64 = 1_767_225_720_000_000;

    fn ledger(symbol: &str, holes: &[(i64, i64)], missing: i64) -> MarketLedger {
        let hole = |(first_id, last_id): &(i64, i64)| Hole { first_id: *first_id, last_id: *last_id };
        MarketLedger {
            first_trade_id: Some(100),
            last_trade_id: Some(5_000),
            last_trade_time_us: Some(NOW_US - 1),
            trades_held: 4_901 - missing,
            head: Some(HeadState { last_id: 5_000, probed_at_us: NOW_US - 12_000_000 }),
            missing,
            holes: holes.iter().map(hole).collect(),
            ..MarketLedger::of(Market::new("binance", symbol))
        }
    }

    #[test]
    fn trades_that_cannot_be_held_are_named_with_the_reason() {
        let mut ledger = ledger("BTCUSDT", &[], 0);
        let ids = RefusedIds { first_id: 7, last_id: 8, reason: RefusalReason::Overflow };
        ledger.refused = RefusedTrades { trades: 2, newest: vec![ids] };
        let printed = table(&[ledger]);
        assert!(printed.contains("binance:BTCUSDT             7   8  overflow\n"), "{printed}");
        assert!(
            printed.ends_with("that the exchange told; 2 trades exist and cannot be held\n"),
            "{printed}"
        );
    }

    #[test]
    fn a_symbol_that_is_numbered_anew_and_what_its_old_series_misses_are_named() {
        let mut restarted = ledger("BTCUSDT", &[], 0);
        restarted.series = 1;
        restarted.restart = Some(IdRestart { since_us: NOW_US, trades: 10 });
        let mut out = Vec::new();
        let ended = [ledger("BTCUSDT", &[(300, 302)], 3)];
        write_table(&[restarted], &ended, Timestamp::from_microsecond(NOW_US).unwrap(), &mut out).unwrap();
        let printed = String::from_utf8(out).unwrap();
        assert!(printed.contains("binance:BTCUSDT           300  302       3\n"), "{printed}");
        assert!(printed.contains("binance:BTCUSDT#1  2026-01-01T00:02:00Z\n"), "{printed}");
        let verdict = "the ids of 1 symbol began anew: say since when in spec.sources[].series\n";
        assert!(printed.ends_with(verdict), "{printed}");
    }

    fn table(ledgers: &[MarketLedger]) -> String {
        let mut out = Vec::new();
        write_table(ledgers, &[], Timestamp::from_microsecond(NOW_US).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn holes_are_named_below_what_is_held() {
        let ledgers = [ledger("BTCUSDT", &[(300, 302), (200, 200)], 9), ledger("ETHUSDT", &[], 0)];
        assert_eq!(
            table(&ledgers),
            "SYMBOL           FIRST ID  LAST ID  LAST TRADE                   HELD  MISSING  EXCHANGE'S LAST ID  ASKED\n\
             binance:BTCUSDT       100     5000  2026-01-01T00:01:59.999999Z  4892        9                5000  12 s ago\n\
             binance:ETHUSDT       100     5000  2026-01-01T00:01:59.999999Z  4901        0                5000  12 s ago\n\
             \n\
             SYMBOL           MISSING FROM     TO  TRADES\n\
             binance:BTCUSDT           300    302       3\n\
             binance:BTCUSDT           200    200       1\n\
             binance:BTCUSDT         older  holes       5\n\
             \n\
             9 trades are missing of 2 symbols up to the last id that the exchange told\n"
        );
    }

    #[test]
    fn what_nobody_asked_for_is_not_claimed() {
        let mut unasked = ledger("BTCUSDT", &[], 0);
        unasked.head = None;
        assert!(table(&[unasked]).ends_with(
            "no trade of 1 symbol is missing up to the last id held; nobody has asked the exchange for the last id of 1 symbol\n"
        ));
    }

    #[test]
    fn json_has_every_figure() {
        let mut out = Vec::new();
        write_json(&[ledger("BTCUSDT", &[(300, 302)], 3)], &[], &mut out).unwrap();
        let printed: Value = serde_json::from_slice(&out).unwrap();
        let expected = json!({"missing": 3, "symbols": [{
            "venue": "binance", "symbol": "BTCUSDT", "series": 0, "numbered_anew_since": null, "first_trade_id": 100, "last_trade_id": 5_000,
            "last_trade_time": "2026-01-01T00:01:59.999999Z", "trades_held": 4_898, "missing": 3,
            "holes": [{"first_id": 300, "last_id": 302, "count": 3}], "refused": [],
            "exchange_last_id": 5_000, "exchange_asked_at": "2026-01-01T00:01:48Z",
        }], "ended_series": []});
        assert_eq!(printed, expected);
    }
}
