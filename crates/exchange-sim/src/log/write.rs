//! Writing the log as it is played: one file per symbol and day in the format of the exchange's daily dumps.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use smol_str::SmolStr;

use super::Trade;

const DAY_US: i64 = 86_400_000_000;

/// The trade log could not be written, so that what was played can no longer be compared with it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the trade log {}", path.display())]
pub struct WriteLogError {
    /// The file, or the folder in which it was to be made.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Writes one symbol's trades to `SYMBOL-trades-YYYY-MM-DD.csv`; a file that is there already is replaced.
#[derive(Debug)]
pub(crate) struct LogWriter {
    directory: PathBuf,
    symbol: SmolStr,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    day: i64,
    path: PathBuf,
    output: BufWriter<File>,
}

impl LogWriter {
    pub(crate) fn new(directory: PathBuf, symbol: SmolStr) -> Self {
        Self { directory, symbol, open: None }
    }

    /// Adds `trade`, which was played with the time `time_us`.
    ///
    /// # Errors
    /// Where its file cannot be made or written.
    pub(crate) fn append(&mut self, trade: &Trade, time_us: i64) -> Result<(), WriteLogError> {
        let open = self.file_of_day(time_us.div_euclid(DAY_US))?;
        write_row(&mut open.output, trade, time_us)
            .map_err(|source| WriteLogError { path: open.path.clone(), source })
    }

    /// Hands all that was added to the system, so that other programs can read it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn flush(&mut self) -> Result<(), WriteLogError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.output.flush().map_err(|source| WriteLogError { path: open.path.clone(), source })
    }

    fn file_of_day(&mut self, day: i64) -> Result<&mut OpenFile, WriteLogError> {
        if self.open.as_ref().is_some_and(|open| open.day != day) {
            self.flush()?;
            self.open = None;
        }
        match &mut self.open {
            Some(open) => Ok(open),
            closed => {
                let path = self.directory.join(format!("{}-trades-{}.csv", self.symbol, date_of_day(day)));
                let file =
                    File::create(&path).map_err(|source| WriteLogError { path: path.clone(), source })?;
                Ok(closed.insert(OpenFile { day, path, output: BufWriter::new(file) }))
            }
        }
    }
}

/// Writes the row of `trade` with `time`, in whichever unit that is.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn write_row(output: &mut impl Write, trade: &Trade, time: i64) -> io::Result<()> {
    writeln!(
        output,
        "{},{:.8},{:.8},{:.8},{},{},True",
        trade.id,
        trade.price,
        trade.quantity,
        trade.quote_quantity(),
        time,
        if trade.buyer_is_maker { "True" } else { "False" },
    )
}

/// `20454` is `2026-01-01`.
fn date_of_day(day: i64) -> String {
    jiff::Timestamp::from_second(day * 86_400).unwrap_or_default().strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::even_log;

    #[test]
    fn a_new_day_begins_a_new_file_in_the_format_of_the_dumps() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::new(directory.path().to_owned(), "TRXUSDT".into());
        let trade = even_log("TRXUSDT", 1).first().unwrap();
        writer.append(&trade, 1_767_225_599_999_999).unwrap();
        writer.append(&trade, 1_767_225_600_000_000).unwrap();
        writer.flush().unwrap();
        for (date, time) in [("2025-12-31", "1767225599999999"), ("2026-01-01", "1767225600000000")] {
            let path = directory.path().join(format!("TRXUSDT-trades-{date}.csv"));
            let expected = format!("1,0.20000000,3.00000000,0.60000000,{time},False,True\n");
            assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
        }
    }

    #[test]
    fn names_the_file_that_cannot_be_made() {
        let mut writer = LogWriter::new("/does/not/exist".into(), "TRXUSDT".into());
        let error = writer.append(&even_log("TRXUSDT", 1).first().unwrap(), 0).unwrap_err();
        assert!(error.to_string().contains("/does/not/exist/TRXUSDT-trades-1970-01-01.csv"), "{error}");
    }
}
