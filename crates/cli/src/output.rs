//! What the reading commands have in common: where they print to, and how they write moments.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context as _;
use clap::ValueEnum;

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

/// `1 trade`, `2 trades`.
pub(crate) fn counted(count: i64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}
