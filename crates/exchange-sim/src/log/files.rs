//! Reading logs from files in the format of the exchange's daily dumps.
//!
//! `SYMBOL-trades-*.csv[.gz|.zip]` has the columns id, price, qty, quoteQty, time, isBuyerMaker, isBestMatch;
//! `SYMBOL-aggTrades-*` has a, p, q, f, l, T, isBuyerMaker, isBestMatch. The dumps have no header; where there is
//! one, it names the columns. Anything may stand before the symbol if a `-` ends it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use market::{Fixed8, Fixed16, Overflow};
use smol_str::SmolStr;

use super::aggregate::{AggregateRow, number_aggregates};
use super::{Trade, TradeLog};
use crate::time_unit::to_us;

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReadLogError {
    /// The file's name does not say whose trades it holds, or in which form.
    #[error("{}: the name is not of the form SYMBOL-trades-*.csv or SYMBOL-aggTrades-*.csv, .gz or .zip", .0.display())]
    UnknownName(PathBuf),
    /// The file cannot be opened or unpacked.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be split into lines and fields.
    #[error("{} is not CSV", path.display())]
    NotCsv {
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        source: csv::Error,
    },
    /// A header names no such column.
    #[error("{}: the header has no column {column}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column's usual name.
        column: &'static str,
    },
    /// A value is not what its column holds.
    #[error("{} line {line}, {column}: {reason}", path.display())]
    BadField {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column's usual name.
        column: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// The files hold one trade id with two contents.
    #[error("{symbol}: trade id {id} is there twice, with different values")]
    Contradiction {
        /// Whose trade.
        symbol: SmolStr,
        /// The id.
        id: i64,
    },
    /// The sums over a symbol's trades would not fit the numbers that candles are made of.
    #[error("{0}: prices and quantities are too large to be added up")]
    TooLarge(SmolStr),
    /// A symbol's files hold no trade at all.
    #[error("{0}: its files hold no trade")]
    Empty(SmolStr),
}

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Trades,
    AggregateTrades,
}

/// Reads `paths` and makes one log per symbol, sorted by symbol. Several files of one symbol make one log.
///
/// # Errors
/// The first file, line and field that cannot be read; contradicting and empty files.
pub fn read_files(paths: &[PathBuf]) -> Result<Vec<TradeLog>, ReadLogError> {
    let mut trades_by_symbol: BTreeMap<SmolStr, Vec<Trade>> = BTreeMap::new();
    for path in paths {
        let (symbol, form) = symbol_and_form(path).ok_or_else(|| ReadLogError::UnknownName(path.clone()))?;
        let trades = read_file(path, form)?;
        trades_by_symbol.entry(symbol).or_default().extend(trades);
    }
    trades_by_symbol.into_iter().map(|(symbol, trades)| recorded_log(symbol, trades)).collect()
}

fn recorded_log(symbol: SmolStr, mut trades: Vec<Trade>) -> Result<TradeLog, ReadLogError> {
    trades.sort_by_key(|trade| trade.id);
    trades.dedup();
    if let Some(pair) = trades.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(ReadLogError::Contradiction { symbol, id: pair[0].id });
    }
    if trades.is_empty() {
        return Err(ReadLogError::Empty(symbol));
    }
    if total_fits(&trades).is_err() {
        return Err(ReadLogError::TooLarge(symbol));
    }
    // Rows of aggTrades files carry the exchange's own numbers.
    if trades.iter().any(|trade| trade.aggregate_id == 0) {
        number_aggregates(&mut trades);
    }
    Ok(TradeLog::recorded(symbol, &trades))
}

fn total_fits(trades: &[Trade]) -> Result<(), Overflow> {
    let (mut volume, mut quote_volume) = (Fixed8::ZERO, Fixed16::ZERO);
    for trade in trades {
        volume = volume.checked_add(trade.quantity)?;
        quote_volume = quote_volume.checked_add(trade.price.checked_mul(trade.quantity)?)?;
    }
    Ok(())
}

/// `binance-spot-BTCUSDT-aggTrades-2026-01-01.csv.gz` is `BTCUSDT`, aggregate trades.
fn symbol_and_form(path: &Path) -> Option<(SmolStr, Form)> {
    let name = path.file_name()?.to_str()?;
    let (before, form) = [("-aggTrades-", Form::AggregateTrades), ("-trades-", Form::Trades)]
        .into_iter()
        .find_map(|(infix, form)| Some((name.split_once(infix)?.0, form)))?;
    let symbol = before.rsplit('-').next()?;
    let is_symbol = !symbol.is_empty()
        && symbol.chars().all(|character| character.is_alphanumeric() || character == '_')
        && symbol.to_uppercase() == symbol;
    is_symbol.then(|| (symbol.into(), form))
}

fn read_file(path: &Path, form: Form) -> Result<Vec<Trade>, ReadLogError> {
    let unreadable = |source| ReadLogError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => read_rows(path, form, flate2::read::MultiGzDecoder::new(file)),
        Some("zip") => {
            let mut archive = zip::ZipArchive::new(file).map_err(|error| unreadable(error.into()))?;
            let entry = archive.by_index(0).map_err(|error| unreadable(error.into()))?;
            read_rows(path, form, entry)
        }
        _ => read_rows(path, form, file),
    }
}

fn read_rows(path: &Path, form: Form, input: impl Read) -> Result<Vec<Trade>, ReadLogError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let mut columns = Columns::without_header(form);
    let mut trades = Vec::new();
    let mut record = StringRecord::new();
    let mut is_first = true;
    while reader
        .read_record(&mut record)
        .map_err(|source| ReadLogError::NotCsv { path: path.to_owned(), source })?
    {
        if std::mem::take(&mut is_first) && is_header(&record) {
            columns = Columns::from_header(form, &record)
                .map_err(|column| ReadLogError::MissingColumn { path: path.to_owned(), column })?;
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        let bad_field =
            |(column, reason)| ReadLogError::BadField { path: path.to_owned(), line, column, reason };
        match form {
            Form::Trades => trades.push(columns.trade(&record).map_err(bad_field)?),
            Form::AggregateTrades => {
                let row = columns.aggregate_row(&record).map_err(bad_field)?;
                if !row.is_cancelled() {
                    trades.extend(row.split().map_err(|reason| bad_field(("q", reason)))?);
                }
            }
        }
    }
    Ok(trades)
}

/// A line of names: no row of either form begins with anything but a number.
fn is_header(record: &StringRecord) -> bool {
    record.get(0).is_some_and(|first| first.parse::<i64>().is_err() && first.contains(char::is_alphabetic))
}

/// A column's usual name and what is wrong with its value.
type FieldError = (&'static str, String);

/// Where the fields of a row stand.
struct Columns {
    id: Column,
    price: Column,
    quantity: Column,
    first_trade_id: Column,
    last_trade_id: Column,
    time: Column,
    buyer_is_maker: Column,
}

#[derive(Clone, Copy)]
struct Column {
    name: &'static str,
    position: usize,
}

impl Columns {
    /// The places and names of the exchange's own dumps.
    fn without_header(form: Form) -> Self {
        let column = |name, position| Column { name, position };
        match form {
            Form::Trades => Self {
                id: column("id", 0),
                price: column("price", 1),
                quantity: column("qty", 2),
                first_trade_id: column("id", 0),
                last_trade_id: column("id", 0),
                time: column("time", 4),
                buyer_is_maker: column("isBuyerMaker", 5),
            },
            Form::AggregateTrades => Self {
                id: column("a", 0),
                price: column("p", 1),
                quantity: column("q", 2),
                first_trade_id: column("f", 3),
                last_trade_id: column("l", 4),
                time: column("T", 5),
                buyer_is_maker: column("isBuyerMaker", 6),
            },
        }
    }

    /// The places that a header names; futures dumps and data tools use some other words.
    fn from_header(form: Form, header: &StringRecord) -> Result<Self, &'static str> {
        let usual = Self::without_header(form);
        let place = |column: Column, other_names: &[&str]| -> Result<Column, &'static str> {
            let is_it = |name: &str| name == column.name || other_names.contains(&name);
            let position = header.iter().position(|name| is_it(name.trim())).ok_or(column.name)?;
            Ok(Column { position, ..column })
        };
        Ok(Self {
            id: place(usual.id, &["agg_trade_id", "trade_id"])?,
            price: place(usual.price, &["price"])?,
            quantity: place(usual.quantity, &["quantity", "qty"])?,
            first_trade_id: place(usual.first_trade_id, &["first_trade_id", "trade_id"])?,
            last_trade_id: place(usual.last_trade_id, &["last_trade_id", "trade_id"])?,
            time: place(usual.time, &["transact_time"])?,
            buyer_is_maker: place(usual.buyer_is_maker, &["is_buyer_maker", "m"])?,
        })
    }

    fn trade(&self, record: &StringRecord) -> Result<Trade, FieldError> {
        Ok(Trade {
            id: field(record, self.id, parse_id)?,
            price: field(record, self.price, parse_decimal)?,
            quantity: field(record, self.quantity, parse_decimal)?,
            time_us: field(record, self.time, parse_time_us)?,
            aggregate_id: 0,
            buyer_is_maker: field(record, self.buyer_is_maker, parse_flag)?,
        })
    }

    fn aggregate_row(&self, record: &StringRecord) -> Result<AggregateRow, FieldError> {
        Ok(AggregateRow {
            id: field(record, self.id, parse_id)?,
            price: field(record, self.price, parse_decimal)?,
            quantity: field(record, self.quantity, parse_decimal)?,
            first_trade_id: field(record, self.first_trade_id, parse_number)?,
            last_trade_id: field(record, self.last_trade_id, parse_number)?,
            time_us: field(record, self.time, parse_time_us)?,
            buyer_is_maker: field(record, self.buyer_is_maker, parse_flag)?,
        })
    }
}

fn field<T>(
    record: &StringRecord,
    column: Column,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, FieldError> {
    let text = record.get(column.position).ok_or_else(|| (column.name, "the field is missing".to_owned()))?;
    parse(text.trim()).map_err(|reason| (column.name, reason))
}

fn parse_number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

fn parse_id(text: &str) -> Result<i64, String> {
    let id = parse_number(text)?;
    if id < 0 { Err(format!("{id} is negative")) } else { Ok(id) }
}

fn parse_decimal(text: &str) -> Result<Fixed8, String> {
    let number: Fixed8 = text.parse().map_err(|error| format!("{error}"))?;
    if number < Fixed8::ZERO { Err(format!("{number} is negative")) } else { Ok(number) }
}

fn parse_time_us(text: &str) -> Result<i64, String> {
    parse_id(text).map(to_us)
}

fn parse_flag(text: &str) -> Result<bool, String> {
    match text {
        "True" | "true" | "1" => Ok(true),
        "False" | "false" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither True nor False")),
    }
}

#[cfg(test)]
mod tests;
