//! What the reading commands have in common: where they print to, and how they write moments.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

/// The exit code of a command that found what must not be.
pub(crate) const FOUND_WRONG: u8 = 3;

/// How to print, for commands that can be told nothing else.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FormatOptions {
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

impl FormatOptions {
    /// The same options, for a command that runs elsewhere.
    pub(crate) fn to_arguments(self) -> Vec<String> {
        vec![flag("--output", value_name(self.output))]
    }
}

/// `--name=value`: a value that begins with a dash is none of the options.
pub(crate) fn flag(name: &str, value: impl Display) -> String {
    format!("{name}={value}")
}

/// How a value is written on the command line.
pub(crate) fn value_name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// How to print what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Writes to standard output. Whoever reads may have seen enough, as `head` does.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print"),
    }
}

/// `BTCUSDT`; `BTCUSDT#1` once its trades were numbered anew.
pub(crate) fn series_name(name: &impl Display, series: i32) -> String {
    if series == 0 { name.to_string() } else { format!("{name}#{series}") }
}

/// Writes a document for programs.
pub(crate) fn write_json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// What nobody can tell, in a table.
pub(crate) const UNKNOWN: &str = "unknown";

/// A figure, where it is known.
pub(crate) fn or_unknown(figure: Option<impl Display>) -> String {
    figure.map_or_else(|| UNKNOWN.to_owned(), |figure| figure.to_string())
}

/// How long ago, in the unit that fits.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Writes to standard error what is no part of the answer.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// `1 trade`, `2 trades`.
pub(crate) fn counted(count: i64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_unit_that_fits() {
        let now = Timestamp::from_second(1_767_225_720).unwrap();
        let ages = [-1, 0, 119, 120, 7_199, 7_200, 172_799, 172_800];
        let texts = ages.map(|seconds| age(Timestamp::from_second(1_767_225_720 - seconds).unwrap(), now));
        assert_eq!(texts, ["0 s", "0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
