//! The rows of a daily file: `id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch`, with or without a header, times in
//! milliseconds or microseconds. Pure.

use std::io::Read;
use std::ops::Range;

use csv::StringRecord;
use jiff::civil::Date;
use market::{Trade, is_trade_id};

use crate::amount::{AmountError, read_amounts};
use crate::exchange::binance_frame::read_time_us;
use crate::utc_day::day_span_us;

/// The columns that are read, as the exchange's own header and those of its futures files write them.
const COLUMNS: [&[&str]; 6] = [
    &["id", "trade_id"],
    &["price"],
    &["qty", "quantity"],
    &["quoteqty", "quote_qty"],
    &["time", "transact_time"],
    &["isbuyermaker", "is_buyer_maker"],
];

/// A row that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RowError {
    /// Its line, from 1; 0 where that is not known.
    pub line: u64,
    /// Why.
    pub problem: RowProblem,
}

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowProblem {
    /// The file cannot be unpacked to here, or is no CSV.
    #[error("{0}")]
    NotCsv(#[from] csv::Error),
    /// There is a header, and the columns are others than expected.
    #[error("the header {0:?} names other columns than are known")]
    UnknownHeader(String),
    /// The row is too short.
    #[error("{0} is missing")]
    MissingField(&'static str),
    /// No whole number, or one that can be no trade's.
    #[error("{field} {text:?} is not a whole number that can be")]
    NotANumber {
        /// The column.
        field: &'static str,
        /// As it stands there.
        text: String,
    },
    /// The price or the quantity cannot be held.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Neither true nor false.
    #[error("isBuyerMaker {0:?} is neither True nor False")]
    NotAFlag(String),
    /// The trade is of another day than the file.
    #[error("time {0} is not of the file's day")]
    OtherDay(i64),
}

/// The trades of a file, row by row.
pub(super) struct DumpRows<R> {
    reader: csv::Reader<R>,
    record: StringRecord,
    day_us: Range<i64>,
    received_time_us: i64,
    is_first: bool,
}

impl<R: Read> DumpRows<R> {
    /// The rows of `input`, which are trades of `day`. `received_time_us` is our own clock.
    pub(super) fn new(input: R, day: Date, received_time_us: i64) -> Self {
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
        Self {
            reader,
            record: StringRecord::new(),
            day_us: day_span_us(day),
            received_time_us,
            is_first: true,
        }
    }

    fn read_trade(&mut self) -> Result<Option<Trade>, RowProblem> {
        while self.reader.read_record(&mut self.record)? {
            if std::mem::take(&mut self.is_first) && is_header(&self.record) {
                check_header(&self.record)?;
                continue;
            }
            return self.trade().map(Some);
        }
        Ok(None)
    }

    fn trade(&self) -> Result<Trade, RowProblem> {
        let field = |position: usize, name: &'static str| {
            self.record.get(position).map(str::trim).ok_or(RowProblem::MissingField(name))
        };
        let trade_id = number("id", field(0, "id")?, |id| is_trade_id(id).then_some(id))?;
        let (price, quantity) = read_amounts(field(1, "price")?, field(2, "qty")?)?;
        let trade_time_us = number("time", field(4, "time")?, read_time_us)?;
        if !self.day_us.contains(&trade_time_us) {
            return Err(RowProblem::OtherDay(trade_time_us));
        }
        Ok(Trade {
            trade_id,
            price,
            quantity,
            trade_time_us,
            // Nobody knows when the message was made.
            event_time_us: trade_time_us,
            received_time_us: self.received_time_us,
            buyer_is_maker: flag(field(5, "isBuyerMaker")?)?,
        })
    }
}

impl<R: Read> Iterator for DumpRows<R> {
    type Item = Result<Trade, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read_trade();
        let line = self.record.position().map_or(0, csv::Position::line);
        read.map_err(|problem| RowError { line, problem }).transpose()
    }
}

/// The trades from `from_us` on and the one just before, which proves where the chain begins. What is wished is told by
/// its place in the file: ids behind the first wished one stay, whatever their time.
pub(super) fn wished_from<E>(
    from_us: i64,
    rows: impl Iterator<Item = Result<Trade, E>>,
) -> impl Iterator<Item = Result<Trade, E>> {
    let mut rows = rows.peekable();
    let mut has_begun = false;
    std::iter::from_fn(move || {
        loop {
            let row = rows.next()?;
            let Ok(trade) = &row else { return Some(row) };
            has_begun |= trade.trade_time_us >= from_us;
            let is_just_before = match rows.peek() {
                Some(Ok(next)) => next.trade_time_us >= from_us,
                // An unreadable row is told by itself.
                Some(Err(_)) => false,
                None => true,
            };
            if has_begun || is_just_before {
                return Some(row);
            }
        }
    })
}

/// A line of names: no row begins with anything but a number.
fn is_header(record: &StringRecord) -> bool {
    record.get(0).is_some_and(|first| first.contains(char::is_alphabetic))
}

fn check_header(header: &StringRecord) -> Result<(), RowProblem> {
    let is_known = COLUMNS.iter().enumerate().all(|(position, names)| {
        let name = header.get(position).map(|name| name.trim().to_ascii_lowercase());
        name.is_some_and(|name| names.contains(&name.as_str()))
    });
    if is_known {
        return Ok(());
    }
    Err(RowProblem::UnknownHeader(header.iter().collect::<Vec<_>>().join(",")))
}

fn number(
    field: &'static str,
    text: &str,
    allowed: impl FnOnce(i64) -> Option<i64>,
) -> Result<i64, RowProblem> {
    let number = text.parse().ok().and_then(allowed);
    number.ok_or_else(|| RowProblem::NotANumber { field, text: text.to_owned() })
}

fn flag(text: &str) -> Result<bool, RowProblem> {
    match text {
        "True" | "true" => Ok(true),
        "False" | "false" => Ok(false),
        _ => Err(RowProblem::NotAFlag(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    const DAY: Date = date(2025, 3, 4);
    /// As the exchange issued it.
    const ROW: &str = "348656870,0.23120000,2619.40000000,605.60528000,1741046401271497,True,True\n";

    fn read(text: &str, day: Date) -> Result<Vec<Trade>, RowError> {
        DumpRows::new(text.as_bytes(), day, 99).collect()
    }

    #[test]
    fn every_field_of_a_row_is_read_exactly() {
        let expected = Trade {
            trade_id: 348_656_870,
            price: "0.2312".parse().unwrap(),
            quantity: "2619.4".parse().unwrap(),
            trade_time_us: 1_741_046_401_271_497,
            event_time_us: 1_741_046_401_271_497,
            received_time_us: 99,
            buyer_is_maker: true,
        };
        assert_eq!(read(ROW, DAY).unwrap(), [expected]);
        let sold = read(&ROW.replace("True,True", "False,True"), DAY).unwrap();
        assert_eq!(sold, [Trade { buyer_is_maker: false, ..expected }]);
    }

    #[test]
    fn milliseconds_of_files_before_2025_are_told_by_their_size() {
        let row = "553287559,39432.48000000,0.00100000,39.43248000,1610064000278,False,True\n";
        let trades = read(row, date(2021, 1, 8)).unwrap();
        assert_eq!(trades[0].trade_time_us, 1_610_064_000_278_000);
    }

    #[test]
    fn a_header_is_passed_over_if_it_names_the_columns() {
        for header in [
            "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n",
            "id,price,qty,quote_qty,time,is_buyer_maker\n",
            "trade_id, Price, Quantity, quote_qty, transact_time, is_buyer_maker\n",
        ] {
            assert_eq!(read(&format!("{header}{ROW}"), DAY).unwrap(), read(ROW, DAY).unwrap(), "{header}");
        }
        for header in ["id,qty,price,quoteQty,time,isBuyerMaker\n", "id,price,qty\n", "<html>\n"] {
            let error = read(&format!("{header}{ROW}"), DAY).unwrap_err();
            assert!(matches!(error.problem, RowProblem::UnknownHeader(_)), "{error}");
        }
        // Only the first line is one.
        assert_eq!(read(&format!("{ROW}id,price\n"), DAY).unwrap_err().line, 2);
    }

    #[test]
    fn every_damage_is_named_with_its_line() {
        for (found, put, message) in [
            ("348656870", "-1", "line 2: id \"-1\" is not a whole number that can be"),
            ("348656870", "", "line 2: id \"\" is not a whole number that can be"),
            (
                "348656870",
                "4611686018427387905",
                "line 2: id \"4611686018427387905\" is not a whole number that can be",
            ),
            ("348656870", "1.5", "line 2: id \"1.5\" is not a whole number that can be"),
            ("0.23120000", "0.231200001", "line 2: price: \"0.231200001\" has more than 8 decimals"),
            ("2619.40000000", "0", "line 2: quantity 0 is not above zero"),
            ("1741046401271497", "0", "line 2: time \"0\" is not a whole number that can be"),
            (
                "1741046401271497",
                "1741132800000000",
                "line 2: time 1741132800000000 is not of the file's day",
            ),
            ("1741046401271497", "1741046399999", "line 2: time 1741046399999000 is not of the file's day"),
            ("True,True", "1,True", "line 2: isBuyerMaker \"1\" is neither True nor False"),
            (",True,True", "", "line 2: isBuyerMaker is missing"),
        ] {
            let error = read(&format!("{ROW}{}", ROW.replace(found, put)), DAY).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn what_is_wished_begins_with_the_trade_before() {
        let trade = |trade_id: i64, trade_time_us: i64| Trade {
            trade_id,
            price: "1".parse().unwrap(),
            quantity: "1".parse().unwrap(),
            trade_time_us,
            event_time_us: 0,
            received_time_us: 0,
            buyer_is_maker: false,
        };
        // A step back in time, at 6.
        let rows = [trade(3, 10), trade(4, 20), trade(5, 30), trade(6, 29), trade(7, 40)];
        let ids = |from_us: i64| -> Vec<i64> {
            let rows = rows.iter().map(|trade| Ok::<_, ()>(*trade));
            wished_from(from_us, rows).map(|row| row.unwrap().trade_id).collect()
        };
        assert_eq!(ids(0), [3, 4, 5, 6, 7]);
        assert_eq!(ids(10), [3, 4, 5, 6, 7]);
        assert_eq!(ids(11), [3, 4, 5, 6, 7]);
        assert_eq!(ids(21), [4, 5, 6, 7]);
        assert_eq!(ids(30), [4, 5, 6, 7]);
        assert_eq!(ids(35), [6, 7]);
        // Of a day before the start, its last trade.
        assert_eq!(ids(99), [7]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&text, DAY);
            let _ = DumpRows::new(bytes.as_slice(), DAY, 0).count();
        }

        #[test]
        fn no_single_damaged_byte_makes_it_panic(at in 0..ROW.len(), byte in any::<u8>()) {
            let mut bytes = ROW.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = DumpRows::new(bytes.as_slice(), DAY, 0).count();
        }
    }
}
