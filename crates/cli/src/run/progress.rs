//! What a person sees while it runs: one line that is renewed on a terminal, one every ten seconds elsewhere,
//! and lines that stay for what changes.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two lines where they cannot be renewed in place.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// The rate is that of the last so many seconds.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// The figures of one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Trades in the database that came since the start.
    pub(super) trades: u64,
    /// Records published and not committed, where that is known.
    pub(super) lag: Option<i64>,
    /// Symbols whose trades come.
    pub(super) streaming: usize,
    /// Symbols of the manifest.
    pub(super) symbols: usize,
    /// Missing trades, where that is known.
    pub(super) missing: Option<i64>,
}

/// The progress line.
pub(super) struct Progress {
    is_terminal: bool,
    line_is_open: bool,
    shown_at: Option<Instant>,
    looks: Vec<(Instant, u64)>,
    quiet_since: Option<Instant>,
    received: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            line_is_open: false,
            shown_at: None,
            looks: Vec::new(),
            quiet_since: None,
            received: 0,
        }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, text: &str) {
        self.finish();
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Ends a line that was renewed in place.
    pub(super) fn finish(&mut self) {
        if std::mem::take(&mut self.line_is_open) {
            let _ = writeln!(io::stderr());
        }
    }

    /// Renews the figures.
    pub(super) fn show(&mut self, figures: &Figures) {
        let now = Instant::now();
        self.note(figures, now);
        let line = line(figures, self.rate());
        if self.is_terminal {
            // Back to the beginning of the line, and what is left of the old one cleared.
            let _ = write!(io::stderr(), "\r{line}\x1b[K");
            let _ = io::stderr().flush();
            self.line_is_open = true;
        } else if self.shown_at.is_none_or(|shown_at| now >= shown_at + PLAIN_INTERVAL) {
            let _ = writeln!(io::stderr(), "{line}");
            self.shown_at = Some(now);
        }
    }

    fn note(&mut self, figures: &Figures, now: Instant) {
        self.looks.retain(|(at, _)| *at + RATE_WINDOW > now);
        self.looks.push((now, figures.trades));
        let is_quiet = figures.trades > 0 && figures.trades == self.received && figures.lag == Some(0);
        self.quiet_since = if is_quiet { self.quiet_since.or(Some(now)) } else { None };
        self.received = figures.trades;
    }

    /// Trades a second over the last few seconds.
    fn rate(&self) -> u64 {
        let Some(((first_at, first), (last_at, last))) = self.looks.first().zip(self.looks.last()) else {
            return 0;
        };
        let millis = last_at.duration_since(*first_at).as_millis();
        let trades = u128::from(last.saturating_sub(*first));
        (trades * 1_000).checked_div(millis).and_then(|rate| u64::try_from(rate).ok()).unwrap_or_default()
    }

    /// For how long nothing has come although trades have come before and all of them are committed.
    pub(super) fn idle_for(&self, now: Instant) -> Option<Duration> {
        Some(now.duration_since(self.quiet_since?))
    }
}

fn line(figures: &Figures, rate: u64) -> String {
    let known = |figure: Option<i64>| figure.map_or("?".to_owned(), |figure| figure.to_string());
    format!(
        "{} trades  {rate}/s  lag {}  symbols {}/{}  missing {}",
        figures.trades,
        known(figures.lag),
        figures.streaming,
        figures.symbols,
        known(figures.missing)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_every_figure_and_says_what_is_not_known() {
        let figures = Figures { trades: 1_200, lag: None, streaming: 4, symbols: 5, missing: Some(3) };
        assert_eq!(line(&figures, 55), "1200 trades  55/s  lag ?  symbols 4/5  missing 3");
    }

    #[test]
    fn idle_is_counted_from_the_last_trade_once_all_is_committed() {
        let mut progress = Progress::new();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let figures = |trades, lag| Figures { trades, lag: Some(lag), ..Figures::default() };
        progress.note(&figures(0, 0), at(0));
        assert_eq!(progress.idle_for(at(9)), None);
        progress.note(&figures(5, 0), at(10));
        progress.note(&figures(5, 2), at(11));
        assert_eq!(progress.idle_for(at(12)), None);
        progress.note(&figures(5, 0), at(13));
        progress.note(&figures(5, 0), at(14));
        assert_eq!(progress.idle_for(at(15)), Some(Duration::from_secs(2)));
        progress.note(&figures(6, 0), at(16));
        assert_eq!(progress.idle_for(at(16)), None);
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut progress = Progress::new();
        let begun = Instant::now();
        for second in 0..20 {
            let figures =
                Figures { trades: if second < 10 { 0 } else { (second - 9) * 100 }, ..Figures::default() };
            progress.note(&figures, begun + Duration::from_secs(second));
        }
        assert_eq!(progress.rate(), 100);
    }
}
