//! Tables on a terminal: columns lined up, names to the left, numbers to the right.

use std::io::{self, Write};

/// A column's heading, and to which side its cells go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// Names and times.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// Writes the headings and the rows, which have a cell for each column.
pub(crate) fn write(columns: &[Column], rows: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
    let headings = columns.iter().map(|column| match column {
        Column::Left(heading) | Column::Right(heading) => (*heading).to_owned(),
    });
    let headings: Vec<String> = headings.collect();
    let all = || std::iter::once(&headings).chain(rows);
    let width = |at: usize| all().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in all() {
        let cells = row.iter().zip(columns).zip(&widths).map(|((cell, column), width)| match column {
            Column::Left(_) => format!("{cell:<width$}"),
            Column::Right(_) => format!("{cell:>width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_lined_up() {
        let rows = [vec!["BTCUSDT".to_owned(), "7".to_owned()], vec!["X".to_owned(), "1203".to_owned()]];
        let mut out = Vec::new();
        write(&[Column::Left("SYMBOL"), Column::Right("TRADES")], &rows, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "SYMBOL   TRADES\nBTCUSDT       7\nX          1203\n");
    }
}
