//! `cryptopipeline gaps`: which trades are held, which are missing, and how far the exchange's ids go.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::{Hole, MarketLedger, RefusedIds};

use crate::output::{Format, counted, print, time_text};
use crate::place::{PipelineArguments, open_store};
use crate::table::{self, Column};

/// The exit code of a command that found what must not be.
pub(crate) const FOUND_WRONG: u8 = 3;

#[derive(Args)]
pub(crate) struct GapsArguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Prints what is held and what is missing.
pub(crate) async fn run(arguments: GapsArguments) -> anyhow::Result<ExitCode> {
    let (_, store) = open_store(arguments.pipeline).await?;
    let ledgers = store.ledgers().await?;
    store.close().await;
    let now = Timestamp::now();
    print(|out| match arguments.output {
        Format::Table => write_table(&ledgers, now, out),
        Format::Json => write_json(&ledgers, out),
    })?;
    let is_whole = ledgers.iter().all(|ledger| ledger.missing == 0 && ledger.refused.trades == 0);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(FOUND_WRONG) })
}

fn write_table(ledgers: &[MarketLedger], now: Timestamp, mut out: &mut dyn Write) -> io::Result<()> {
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
            ledger.market.to_string(),
            text(ledger.first_trade_id),
            text(ledger.last_trade_id),
            ledger.last_trade_time_us.map_or_else(|| "-".to_owned(), time_text),
            ledger.trades_held.to_string(),
            ledger.missing.to_string(),
            text(ledger.head.map(|head| head.last_id)),
            ledger.head.map_or_else(|| "never".to_owned(), |head| age(head.probed_at_us, now)),
        ]
    };
    table::write(&columns, &ledgers.iter().map(row).collect::<Vec<_>>(), &mut out)?;
    let holes: Vec<Vec<String>> = ledgers.iter().flat_map(hole_rows).collect();
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
    writeln!(out, "\n{}", verdict(ledgers))
}

/// The newest holes, and in one row what is beyond them.
fn hole_rows(ledger: &MarketLedger) -> Vec<Vec<String>> {
    let market = ledger.market.to_string();
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
        vec![ledger.market.to_string(), first_id.to_string(), last_id.to_string(), reason.to_string()]
    };
    ledger.refused.newest.iter().map(row).collect()
}

fn age(time_us: i64, now: Timestamp) -> String {
    let seconds = (now.as_microsecond() - time_us).max(0) / 1_000_000;
    match seconds {
        ..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
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
    let trades = counted(missing, "trade is", "trades are");
    if missing == 0 {
        format!("no trade of {symbols} is missing {end}{refused}")
    } else {
        format!("{trades} missing of {symbols} {end}{refused}")
    }
}

fn write_json(ledgers: &[MarketLedger], mut out: &mut dyn Write) -> io::Result<()> {
    let hole =
        |hole: &Hole| json!({"first_id": hole.first_id, "last_id": hole.last_id, "count": hole.count()});
    let refused = |ids: &RefusedIds| json!({"first_id": ids.first_id, "last_id": ids.last_id, "reason": ids.reason.as_str()});
    let symbol = |ledger: &MarketLedger| {
        json!({
            "venue": ledger.market.venue,
            "symbol": ledger.market.symbol,
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
    serde_json::to_writer_pretty(&mut out, &json!({"missing": missing, "symbols": symbols}))?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use market::{Market, RefusalReason};
    use store::{HeadState, RefusedTrades};

    use super::*;

    const NOW_US: i64 = 1_767_225_720_000_000;

    fn ledger(symbol: &str, holes: &[(i64, i64)], missing: i64) -> MarketLedger {
        let hole = |(first_id, last_id): &(i64, i64)| Hole { first_id: *first_id, last_id: *last_id };
        MarketLedger {
            market: Market::new("binance", symbol),
            first_trade_id: Some(100),
            last_trade_id: Some(5_000),
            last_trade_time_us: Some(NOW_US - 1),
            trades_held: 4_901 - missing,
            head: Some(HeadState { last_id: 5_000, probed_at_us: NOW_US - 12_000_000 }),
            history_from_us: None,
            missing,
            holes: holes.iter().map(hole).collect(),
            refused: RefusedTrades::default(),
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

    fn table(ledgers: &[MarketLedger]) -> String {
        let mut out = Vec::new();
        write_table(ledgers, Timestamp::from_microsecond(NOW_US).unwrap(), &mut out).unwrap();
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
        write_json(&[ledger("BTCUSDT", &[(300, 302)], 3)], &mut out).unwrap();
        let printed: Value = serde_json::from_slice(&out).unwrap();
        let expected = json!({"missing": 3, "symbols": [{
            "venue": "binance", "symbol": "BTCUSDT", "first_trade_id": 100, "last_trade_id": 5_000,
            "last_trade_time": "2026-01-01T00:01:59.999999Z", "trades_held": 4_898, "missing": 3,
            "holes": [{"first_id": 300, "last_id": 302, "count": 3}], "refused": [],
            "exchange_last_id": 5_000, "exchange_asked_at": "2026-01-01T00:01:48Z",
        }]});
        assert_eq!(printed, expected);
    }

    #[test]
    fn ages_are_told_in_the_unit_that_fits() {
        let ages = [0, 119, 120, 7_199, 7_200, 172_799, 172_800];
        let now = Timestamp::from_microsecond(NOW_US).unwrap();
        let texts = ages.map(|seconds| age(NOW_US - seconds * 1_000_000, now));
        assert_eq!(
            texts,
            ["0 s ago", "119 s ago", "2 min ago", "119 min ago", "2 h ago", "47 h ago", "2 days ago"]
        );
    }
}
