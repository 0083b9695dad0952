//! `cryptopipeline candles`: what the database holds, as a table, CSV or JSON.

use std::io::{self, Write};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use market::Interval;
use serde_json::json;
use store::{CandleQuery, CandleRow, ConnectOptions, Store};

use crate::{PipelineArguments, place};

/// Rows of a table without --last: what fits a screen or two.
const TABLE_ROWS: i64 = 10;

#[derive(Args)]
pub(crate) struct CandlesArguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
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
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

/// Prints the candles.
pub(crate) async fn print(arguments: CandlesArguments) -> anyhow::Result<()> {
    let (manifest, place) = place::open(&arguments.pipeline)?;
    let schema = manifest.pipeline.spec.database.as_ref().map_or("market", |database| &database.schema);
    let store = Store::connect(&place.url, schema, ConnectOptions::default())
        .await
        .context("cannot open the pipeline's database; has it run yet?")?;
    let whole_table = arguments.output == Format::Table && arguments.from.is_none() && arguments.to.is_none();
    let query = CandleQuery {
        venue: arguments.venue,
        symbol: arguments.symbol,
        interval: arguments.interval,
        from_us: arguments.from.map(Timestamp::as_microsecond),
        to_us: arguments.to.map(Timestamp::as_microsecond),
        newest: arguments.last.or(whole_table.then_some(TABLE_ROWS)),
    };
    let candles = store.candles(&query).await?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = match arguments.output {
        Format::Table => write_table(&candles, &mut out),
        Format::Csv => write_csv(&candles, &mut out),
        Format::Json => write_json(&candles, &mut out),
    };
    match written.and_then(|()| out.flush()) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print the candles"),
    }
}

fn write_table(candles: &[CandleRow], out: &mut impl Write) -> io::Result<()> {
    let header =
        ["SYMBOL", "INTERVAL", "OPEN TIME", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "TRADES", "COMPLETE"];
    let mut rows: Vec<[String; 10]> = vec![header.map(str::to_owned)];
    rows.extend(candles.iter().map(|candle| {
        [
            candle.market.symbol.to_string(),
            candle.interval.to_string(),
            open_time(candle),
            candle.open.to_string(),
            candle.high.to_string(),
            candle.low.to_string(),
            candle.close.to_string(),
            candle.volume.to_string(),
            candle.trade_count.to_string(),
            if candle.complete { "yes" } else { "no" }.to_owned(),
        ]
    }));
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    for row in &rows {
        let line: Vec<String> =
            row.iter()
                .zip(&widths)
                .enumerate()
                // Names to the left, numbers to the right.
                .map(|(column, (cell, width))| {
                    if (3..9).contains(&column) {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                })
                .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

fn write_csv(candles: &[CandleRow], out: &mut impl Write) -> io::Result<()> {
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
    ])?;
    for candle in candles {
        let id = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
        writer.write_record([
            candle.market.venue.to_string(),
            candle.market.symbol.to_string(),
            candle.interval.to_string(),
            open_time(candle),
            candle.open.to_string(),
            candle.high.to_string(),
            candle.low.to_string(),
            candle.close.to_string(),
            candle.volume.to_string(),
            candle.quote_volume.to_string(),
            candle.trade_count.to_string(),
            candle.taker_buy_volume.to_string(),
            candle.taker_buy_quote_volume.to_string(),
            id(candle.first_trade_id),
            id(candle.last_trade_id),
            candle.complete.to_string(),
        ])?;
    }
    writer.flush()
}

fn write_json(candles: &[CandleRow], out: &mut impl Write) -> io::Result<()> {
    let values: Vec<_> = candles
        .iter()
        .map(|candle| {
            json!({
                "venue": candle.market.venue,
                "symbol": candle.market.symbol,
                "interval": candle.interval,
                "open_time": open_time(candle),
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
            })
        })
        .collect();
    serde_json::to_writer_pretty(&mut *out, &values)?;
    writeln!(out)
}

/// RFC 3339, UTC, with as many decimals of a second as there are.
fn open_time(candle: &CandleRow) -> String {
    Timestamp::from_microsecond(candle.open_time_us)
        .map_or_else(|_| candle.open_time_us.to_string(), |time| time.to_string())
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
        }
    }

    #[test]
    fn csv_has_the_promised_columns_and_every_decimal() {
        let mut out = Vec::new();
        write_csv(&[candle()], &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "venue,symbol,interval,open_time,open,high,low,close,volume,quote_volume,trade_count,taker_buy_volume,\
             taker_buy_quote_volume,first_trade_id,last_trade_id,complete\n\
             binance,BTCUSDT,1m,2026-01-01T00:00:00Z,87648.21,87648.22,87632.74,87648,4.08049,0.0000000000000001,1193,\
             0,0,5723703861,,true\n"
        );
    }

    #[test]
    fn json_keeps_decimals_as_text() {
        let mut out = Vec::new();
        write_json(&[candle()], &mut out).unwrap();
        let rows: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(rows[0]["quote_volume"], "0.0000000000000001");
        assert_eq!(rows[0]["last_trade_id"], serde_json::Value::Null);
    }

    #[test]
    fn a_table_lines_its_columns_up() {
        let mut out = Vec::new();
        write_table(&[candle()], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let ends: Vec<usize> =
            text.lines().map(|line| line.find("yes").or(line.find("COMPLETE")).unwrap()).collect();
        assert_eq!(ends[0], ends[1]);
    }
}
