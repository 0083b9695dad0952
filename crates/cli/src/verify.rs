//! `cryptopipeline verify`: what comparing candles with the exchange's own has found.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use market::{Interval, Market};
use serde_json::{Value, json};
use store::{CheckCount, CheckVerdict, DifferingCandle, time_text};

use crate::output::{self, FOUND_WRONG, Format, FormatOptions, counted, print};
use crate::place::Opened;
use crate::table::{self, Column};

/// Candles that differ are printed up to this number.
const MOST_DIFFERING: i64 = 10_000;

/// Prints what was compared.
pub(crate) async fn run(opened: Opened, options: FormatOptions) -> anyhow::Result<ExitCode> {
    let store = opened.store;
    let counts = store.check_counts().await?;
    let differing = store.differing_candles(MOST_DIFFERING).await?;
    store.close().await;
    let checks = by_interval(&counts);
    print(|out| match options.output {
        Format::Table => write_table(&checks, &differing, out),
        Format::Json => write_json(&checks, &differing, out),
    })?;
    let is_right = checks.values().all(|checks| checks.ours_wrong == 0);
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::from(FOUND_WRONG) })
}

/// How many candles of one market and interval have which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Checks {
    equal: i64,
    exchange_differs: i64,
    ours_wrong: i64,
}

type ChecksByInterval<'a> = BTreeMap<(&'a Market, Interval), Checks>;

fn by_interval(counts: &[CheckCount]) -> ChecksByInterval<'_> {
    let mut checks = ChecksByInterval::new();
    for CheckCount { market, interval, verdict, windows } in counts {
        let checks = checks.entry((market, *interval)).or_default();
        match verdict {
            CheckVerdict::Equal => checks.equal += windows,
            CheckVerdict::ExchangeDiffers => checks.exchange_differs += windows,
            CheckVerdict::OursWrong => checks.ours_wrong += windows,
        }
    }
    checks
}

fn write_table(
    checks: &ChecksByInterval<'_>,
    differing: &[DifferingCandle],
    mut out: &mut dyn Write,
) -> io::Result<()> {
    let columns = [
        Column::Left("SYMBOL"),
        Column::Left("INTERVAL"),
        Column::Right("CHECKED"),
        Column::Right("EQUAL"),
        Column::Right("EXCHANGE DIFFERS"),
        Column::Right("OURS WRONG"),
    ];
    let row = |((market, interval), checks): (&(&Market, Interval), &Checks)| {
        let Checks { equal, exchange_differs, ours_wrong } = checks;
        let mut row = vec![market.to_string(), interval.to_string()];
        let figures = [equal + exchange_differs + ours_wrong, *equal, *exchange_differs, *ours_wrong];
        row.extend(figures.map(|figure| figure.to_string()));
        row
    };
    table::write(&columns, &checks.iter().map(row).collect::<Vec<_>>(), &mut out)?;
    if !differing.is_empty() {
        writeln!(out)?;
        write_differing(differing, out)?;
    }
    writeln!(out, "\n{}", verdict(checks))
}

/// A row for each field that is not equal.
fn write_differing(differing: &[DifferingCandle], mut out: &mut dyn Write) -> io::Result<()> {
    let columns = [
        Column::Left("SYMBOL"),
        Column::Left("INTERVAL"),
        Column::Left("OPEN TIME"),
        Column::Left("VERDICT"),
        Column::Left("FIELD"),
        Column::Right("OURS"),
        Column::Right("THE EXCHANGE'S"),
    ];
    let rows = differing.iter().flat_map(|candle| {
        candle.differences.iter().map(|difference| {
            vec![
                candle.market.to_string(),
                candle.interval.to_string(),
                time_text(candle.open_time_us),
                candle.verdict.as_str().replace('_', " "),
                difference.field.clone(),
                difference.ours.clone(),
                difference.theirs.clone().unwrap_or_else(|| "no candle".to_owned()),
            ]
        })
    });
    table::write(&columns, &rows.collect::<Vec<_>>(), &mut out)
}

fn verdict(checks: &ChecksByInterval<'_>) -> String {
    let sum = |figure: fn(&Checks) -> i64| checks.values().map(figure).sum::<i64>();
    let (equal, differ) = (sum(|checks| checks.equal), sum(|checks| checks.exchange_differs));
    let wrong = sum(|checks| checks.ours_wrong);
    let all = counted(equal + differ + wrong, "candle", "candles");
    match (equal + differ + wrong, wrong) {
        (0, _) => "no candle has been compared with the exchange's own yet".to_owned(),
        (_, 0) => {
            format!("{all} checked, {equal} equal, {differ} differ at the exchange: none is wrong here")
        }
        _ => format!(
            "{all} checked, {equal} equal, {differ} differ at the exchange, {wrong} wrong here: `rebuild` folds them again from the exchange"
        ),
    }
}

fn write_json(
    checks: &ChecksByInterval<'_>,
    differing: &[DifferingCandle],
    out: &mut dyn Write,
) -> io::Result<()> {
    let row = |((market, interval), checks): (&(&Market, Interval), &Checks)| {
        json!({
            "venue": market.venue,
            "symbol": market.symbol,
            "interval": interval,
            "equal": checks.equal,
            "exchange_differs": checks.exchange_differs,
            "ours_wrong": checks.ours_wrong,
        })
    };
    let candle = |candle: &DifferingCandle| {
        json!({
            "venue": candle.market.venue,
            "symbol": candle.market.symbol,
            "interval": candle.interval,
            "open_time": time_text(candle.open_time_us),
            "verdict": candle.verdict,
            "differences": candle.differences,
        })
    };
    let checks: Vec<Value> = checks.iter().map(row).collect();
    let differing: Vec<Value> = differing.iter().map(candle).collect();
    output::write_json(&json!({"checks": checks, "differing": differing}), out)
}

#[cfg(test)]
mod tests {
    use store::Difference;

    use super::*;

    fn count(interval: &str, verdict: CheckVerdict, windows: i64) -> CheckCount {
        let market = Market::new("binance", "BTCUSDT");
        CheckCount { market, interval: interval.parse().unwrap(), verdict, windows }
    }

    fn differing() -> Vec<DifferingCandle> {
        let difference = |field: &str, theirs: Option<&str>| Difference {
            field: field.to_owned(),
            ours: "3".to_owned(),
            theirs: theirs.map(str::to_owned),
        };
        let candle = |verdict, differences| DifferingCandle {
            market: Market::new("binance", "BTCUSDT"),
            interval: "1m".parse().unwrap(),
            open_time_us: 1_767_225_600_000_000,
            verdict,
            differences,
        };
        vec![
            candle(
                CheckVerdict::OursWrong,
                vec![difference("volume", Some("4")), difference("low", Some("2.5"))],
            ),
            candle(CheckVerdict::ExchangeDiffers, vec![difference("trade_count", None)]),
        ]
    }

    fn counts() -> Vec<CheckCount> {
        vec![
            count("5m", CheckVerdict::Equal, 12),
            count("1m", CheckVerdict::Equal, 60),
            count("1m", CheckVerdict::ExchangeDiffers, 1),
            count("1m", CheckVerdict::OursWrong, 1),
        ]
    }

    #[test]
    fn every_field_that_differs_has_its_row() {
        let (counts, mut out) = (counts(), Vec::new());
        write_table(&by_interval(&counts), &differing(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "SYMBOL           INTERVAL  CHECKED  EQUAL  EXCHANGE DIFFERS  OURS WRONG\n\
             binance:BTCUSDT  1m             62     60                 1           1\n\
             binance:BTCUSDT  5m             12     12                 0           0\n\
             \n\
             SYMBOL           INTERVAL  OPEN TIME             VERDICT           FIELD        OURS  THE EXCHANGE'S\n\
             binance:BTCUSDT  1m        2026-01-01T00:00:00Z  ours wrong        volume          3               4\n\
             binance:BTCUSDT  1m        2026-01-01T00:00:00Z  ours wrong        low             3             2.5\n\
             binance:BTCUSDT  1m        2026-01-01T00:00:00Z  exchange differs  trade_count     3       no candle\n\
             \n\
             74 candles checked, 72 equal, 1 differ at the exchange, 1 wrong here: `rebuild` folds them again from \
             the exchange\n"
        );
    }

    #[test]
    fn nothing_compared_is_said() {
        assert_eq!(
            verdict(&ChecksByInterval::new()),
            "no candle has been compared with the exchange's own yet"
        );
        let counts = [count("1m", CheckVerdict::Equal, 1)];
        assert_eq!(
            verdict(&by_interval(&counts)),
            "1 candle checked, 1 equal, 0 differ at the exchange: none is wrong here"
        );
    }

    #[test]
    fn json_has_the_verdicts_and_the_fields() {
        let (counts, mut out) = (counts(), Vec::new());
        write_json(&by_interval(&counts), &differing(), &mut out).unwrap();
        let printed: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            printed["checks"][0],
            json!({"venue": "binance", "symbol": "BTCUSDT", "interval": "1m", "equal": 60, "exchange_differs": 1,
                   "ours_wrong": 1})
        );
        assert_eq!(
            printed["differing"][1],
            json!({"venue": "binance", "symbol": "BTCUSDT", "interval": "1m", "open_time": "2026-01-01T00:00:00Z",
                   "verdict": "exchange_differs",
                   "differences": [{"field": "trade_count", "ours": "3", "theirs": null}]})
        );
    }
}
