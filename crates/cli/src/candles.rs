//! `cryptopipeline candles`: what the database holds, as a table, CSV or JSON.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use market::Interval;
use serde_json::{Value, json};
use store::{CandleQuery, CandleRow, time_text};

use crate::output::{flag, print, series_name, value_name};
use crate::place::Opened;
use crate::table::{self, Column};

/// Rows of a table without --last: what fits a screen or two.
const TABLE_ROWS: i64 = 10;
/// Rows that a worker's pod has the memory for, beside its work.
const MOST_IN_A_POD: i64 = 50_000;

/// Which candles, and how they are printed.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct CandlesOptions {
    /// Only candles of this length, e.g. 1m.
    #[arg(long, value_name = "LENGTH")]
    interval: Option<Interval>,
    /// Only this symbol, e.g. BTCUSDT.
    #[arg(long)]
    symbol: Option<String>,
    /// Only this venue.
    #[arg(long)]
    venue: Option<String>,
    /// Only windows that open at or after this time, e.g. 2026-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only windows that open before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Only the newest windows of each symbol and length; a table shows 10 unless told, CSV and JSON all.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i64).range(1..))]
    last: Option<i64>,
    /// Only candles that changed after this version: the newest one that was seen before, or 0 for all. Nothing that changed
    /// is missed; windows without trades have no version and are left out.
    #[arg(long, value_name = "VERSION", requires = "symbol", value_parser = clap::value_parser!(i64).range(0..))]
    since_version: Option<i64>,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

impl CandlesOptions {
    /// The same options, for a command that runs elsewhere.
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        let Self { interval, symbol, venue, from, to, last, since_version, output } = self;
        let given = |name: &str, value: Option<&dyn Display>| value.map(|value| flag(name, value));
        let options = [
            given("--interval", interval.as_ref().map(|value| value as _)),
            given("--symbol", symbol.as_ref().map(|value| value as _)),
            given("--venue", venue.as_ref().map(|value| value as _)),
            given("--from", from.as_ref().map(|value| value as _)),
            given("--to", to.as_ref().map(|value| value as _)),
            given("--last", last.as_ref().map(|value| value as _)),
            given("--since-version", since_version.as_ref().map(|value| value as _)),
            Some(flag("--output", value_name(*output))),
        ];
        options.into_iter().flatten().collect()
    }

    fn query(&self, is_in_a_pod: bool) -> CandleQuery {
        let whole_table = self.output == Format::Table && self.from.is_none() && self.to.is_none();
        CandleQuery {
            venue: self.venue.clone(),
            symbol: self.symbol.clone(),
            interval: self.interval,
            from_us: self.from.map(Timestamp::as_microsecond),
            to_us: self.to.map(Timestamp::as_microsecond),
            newest: self.last.or(whole_table.then_some(TABLE_ROWS)),
            since_version: self.since_version,
            most: is_in_a_pod.then_some(MOST_IN_A_POD + 1),
        }
    }
}

/// Prints the candles.
pub(crate) async fn run(opened: Opened, options: CandlesOptions) -> anyhow::Result<ExitCode> {
    let query = options.query(opened.is_in_a_pod);
    let candles = opened.store.candles(&query).await?;
    if query.most.is_some_and(|most| i64::try_from(candles.len()).is_ok_and(|count| count >= most)) {
        bail!(
            "these are more than {MOST_IN_A_POD} candles, and a worker's pod has no memory for more: ask for fewer with \
             --symbol, --interval, --from, --to or --last"
        );
    }
    print(|out| match options.output {
        Format::Table => write_table(&candles, out),
        Format::Csv => write_csv(&candles, out),
        Format::Json => write_json(&candles, out),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write_table(candles: &[CandleRow], mut out: &mut dyn Write) -> io::Result<()> {
    let columns = [
        Column::Left("SYMBOL"),
        Column::Left("INTERVAL"),
        Column::Left("OPEN TIME"),
        Column::Right("OPEN"),
        Column::Right("HIGH"),
        Column::Right("LOW"),
        Column::Right("CLOSE"),
        Column::Right("VOLUME"),
        Column::Right("TRADES"),
        Column::Left("COMPLETE"),
    ];
    let row = |candle: &CandleRow| {
        vec![
            series_name(&candle.market.symbol, candle.series),
            candle.interval.to_string(),
            time_text(candle.open_time_us),
            candle.open.to_string(),
            candle.high.to_string(),
            candle.low.to_string(),
            candle.close.to_string(),
            candle.volume.to_string(),
            candle.trade_count.to_string(),
            if candle.complete { "yes" } else { "no" }.to_owned(),
        ]
    };
    table::write(&columns, &candles.iter().map(row).collect::<Vec<_>>(), &mut out)
}

fn write_csv(candles: &[CandleRow], out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "venue",
        "symbol",
        "interval",
        "open_time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trade_count",
        "taker_buy_volume",
        "taker_buy_quote_volume",
        "first_trade_id",
        "last_trade_id",
        "complete",
        "version",
        "series",
    ])?;
    for candle in candles {
        let integer = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
        writer.write_record([
            candle.market.venue.to_string(),
            candle.market.symbol.to_string(),
            candle.interval.to_string(),
            time_text(candle.open_time_us),
            candle.open.to_string(),
            candle.high.to_string(),
            candle.low.to_string(),
            candle.close.to_string(),
            candle.volume.to_string(),
            candle.quote_volume.to_string(),
            candle.trade_count.to_string(),
            candle.taker_buy_volume.to_string(),
            candle.taker_buy_quote_volume.to_string(),
            integer(candle.first_trade_id),
            integer(candle.last_trade_id),
            candle.complete.to_string(),
            integer(candle.version),
            candle.series.to_string(),
        ])?;
    }
    writer.flush()
}

/// One after the other: there may be many.
fn write_json(candles: &[CandleRow], mut out: &mut dyn Write) -> io::Result<()> {
    let mut before = "[\n  ";
    for candle in candles {
        out.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut out, &json_of(candle))?;
        before = ",\n  ";
    }
    out.write_all(if candles.is_empty() { b"[]\n" } else { b"\n]\n" })
}

fn json_of(candle: &CandleRow) -> Value {
    json!({
        "venue": candle.market.venue,
        "symbol": candle.market.symbol,
        "interval": candle.interval,
        "open_time": time_text(candle.open_time_us),
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
        "quote_volume": candle.quote_volume,
        "trade_count": candle.trade_count,
        "taker_buy_volume": candle.taker_buy_volume,
        "taker_buy_quote_volume": candle.taker_buy_quote_volume,
        "first_trade_id": candle.first_trade_id,
        "last_trade_id": candle.last_trade_id,
        "complete": candle.complete,
        "version": candle.version,
        "series": candle.series,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle() -> CandleRow {
        CandleRow {
            market: market::Market::new("binance", "BTCUSDT"),
            interval: "1m".parse().unwrap(),
            open_time_us: 1_767_225_600_000_000,
            open: "87648.21".parse().unwrap(),
            high: "87648.22".parse().unwrap(),
            low: "87632.74".parse().unwrap(),
            close: "87648".parse().unwrap(),
            volume: "4.08049".parse().unwrap(),
            quote_volume: "0.0000000000000001".parse().unwrap(),
            trade_count: 1193,
            taker_buy_volume: "0".parse().unwrap(),
            taker_buy_quote_volume: "0".parse().unwrap(),
            first_trade_id: Some(5_723_703_861),
            last_trade_id: None,
            complete: true,
            version: Some(7),
            series: 0,
        }
    }

    #[test]
    fn csv_has_the_promised_columns_and_every_decimal() {
        let mut out = Vec::new();
        write_csv(&[candle()], &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "venue,symbol,interval,open_time,open,high,low,close,volume,quote_volume,trade_count,taker_buy_volume,\
             taker_buy_quote_volume,first_trade_id,last_trade_id,complete,version,series\n\
             binance,BTCUSDT,1m,2026-01-01T00:00:00Z,87648.21,87648.22,87632.74,87648,4.08049,0.0000000000000001,1193,\
             0,0,5723703861,,true,7,0\n"
        );
    }

    #[test]
    fn json_is_an_array_and_keeps_decimals_as_text() {
        let printed = |candles: &[CandleRow]| -> Value {
            let mut out = Vec::new();
            write_json(candles, &mut out).unwrap();
            serde_json::from_slice(&out).unwrap()
        };
        assert_eq!(printed(&[]), json!([]));
        let rows = printed(&[candle(), candle()]);
        assert_eq!(rows.as_array().map(Vec::len), Some(2));
        assert_eq!(rows[0]["quote_volume"], "0.0000000000000001");
        assert_eq!(rows[0]["last_trade_id"], serde_json::Value::Null);
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: CandlesOptions,
    }

    #[test]
    fn what_is_asked_elsewhere_is_what_was_asked_here() {
        let written = "--interval=5m --symbol=BTCUSDT --venue=binance --from=2026-01-01T00:00:00Z --to=2026-01-02T00:00:00Z \
                       --last=3 --since-version=0 --output=csv";
        for line in [written, ""] {
            let parsed = |arguments: Vec<String>| {
                let line = std::iter::once("candles".to_owned()).chain(arguments);
                <Line as clap::Parser>::try_parse_from(line).unwrap().options
            };
            let options = parsed(line.split_whitespace().map(str::to_owned).collect());
            assert_eq!(parsed(options.to_arguments()), options);
        }
    }

    #[test]
    fn a_table_lines_its_columns_up() {
        let mut out = Vec::new();
        write_table(&[candle()], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let ends: Vec<usize> =
            text.lines().map(|line| line.find("yes").or(line.find("COMPLETE")).unwrap()).collect();
        assert_eq!(ends[0], ends[1]);
        assert!(text.lines().nth(1).unwrap().starts_with("BTCUSDT "), "{text}");
        let mut out = Vec::new();
        write_table(&[CandleRow { series: 2, ..candle() }], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().nth(1).unwrap().starts_with("BTCUSDT#2 "), "{text}");
    }
}
