//! What a person sees while it runs: one line that is renewed on a terminal, one every ten seconds elsewhere,
//! and lines that stay for what changes.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crds::worker_status::SourceHistoryStatus;

/// Between two lines where they cannot be renewed in place.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// The rate is that of the last so many seconds.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// The figures of one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Trades in the database that came since the start, those of history included.
    pub(super) trades: u64,
    /// Samples of prices in the database that came since the start.
    pub(super) samples: u64,
    /// Records published and not committed, where that is known.
    pub(super) lag: Option<i64>,
    /// Symbols whose trades come.
    pub(super) streaming: usize,
    /// Symbols of the manifest.
    pub(super) symbols: usize,
    /// Missing trades, where that is known.
    pub(super) missing: Option<i64>,
    /// How far history is, where it is wished and not all there.
    pub(super) history: Option<HistoryFigures>,
}

impl Figures {
    fn brought(&self) -> u64 {
        self.trades + self.samples
    }
}

/// How far history is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HistoryFigures {
    /// Daily files.
    pub(super) files: u32,
    /// Of which so many are loaded, or hold nothing that is missing.
    pub(super) loaded: u32,
    /// Trades a second over the last minute.
    pub(super) rate: u64,
    /// How long the rest takes at that rate, where that can be told; 0 where nothing more can be loaded for now.
    pub(super) seconds_left: Option<u64>,
}

impl HistoryFigures {
    /// The figures of all sources together; `None` where no history is wished, or all of it is loaded.
    pub(super) fn of<'a>(sources: impl Iterator<Item = &'a SourceHistoryStatus>) -> Option<Self> {
        let figures = sources.map(|source| {
            let days = source.symbols.values().map(|symbol| (symbol.days, symbol.days_loaded));
            let (files, loaded) = days.fold((0, 0), |sum, days| (sum.0 + days.0, sum.1 + days.1));
            Self { files, loaded, rate: source.trades_per_second, seconds_left: source.seconds_left }
        });
        let together = figures.reduce(|left, right| Self {
            files: left.files + right.files,
            loaded: left.loaded + right.loaded,
            rate: left.rate + right.rate,
            // Sources are loaded side by side.
            seconds_left: left.seconds_left.zip(right.seconds_left).map(|(left, right)| left.max(right)),
        })?;
        (together.loaded < together.files || together.is_loading()).then_some(together)
    }

    const fn is_loading(self) -> bool {
        !matches!(self.seconds_left, Some(0))
    }
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
        self.looks.push((now, figures.brought()));
        let is_quiet = figures.brought() > 0
            && figures.brought() == self.received
            && figures.lag == Some(0)
            && !figures.history.is_some_and(HistoryFigures::is_loading);
        self.quiet_since = if is_quiet { self.quiet_since.or(Some(now)) } else { None };
        self.received = figures.brought();
    }

    /// Trades and samples a second over the last few seconds.
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
    let history = figures.history.map(history).unwrap_or_default();
    let samples = if figures.samples > 0 { format!("  {} samples", figures.samples) } else { String::new() };
    format!(
        "{} trades{samples}  {rate}/s  lag {}  symbols {}/{}  missing {}{history}",
        figures.trades,
        known(figures.lag),
        figures.streaming,
        figures.symbols,
        known(figures.missing)
    )
}

/// `  history 3/7 files 12000/s 4 min left`.
fn history(history: HistoryFigures) -> String {
    let HistoryFigures { files, loaded, rate, seconds_left } = history;
    let left = match seconds_left {
        Some(0) => String::new(),
        Some(seconds) => format!(" {} min left", seconds.div_ceil(60)),
        None => " ? min left".to_owned(),
    };
    format!("  history {loaded}/{files} files {rate}/s{left}")
}

#[cfg(test)]
mod tests {
    use crds::worker_status::SymbolHistoryStatus;

    use super::*;

    #[test]
    fn history_is_shown_until_it_is_loaded() {
        let source = |days, days_loaded, trades_per_second, seconds_left| {
            let symbol = SymbolHistoryStatus { days, days_loaded, ..SymbolHistoryStatus::default() };
            let symbols = [("A".to_owned(), symbol.clone()), ("B".to_owned(), symbol)].into();
            SourceHistoryStatus { symbols, trades_per_second, seconds_left, ..SourceHistoryStatus::default() }
        };
        let shown = |sources: &[SourceHistoryStatus]| HistoryFigures::of(sources.iter()).map(history);
        let text = |sources: &[SourceHistoryStatus]| shown(sources).unwrap_or_default();
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[source(0, 0, 0, None)]), "  history 0/0 files 0/s ? min left");
        assert_eq!(text(&[source(5, 2, 900, Some(61))]), "  history 4/10 files 900/s 2 min left");
        let both = [source(5, 2, 900, Some(61)), source(1, 1, 100, Some(600))];
        assert_eq!(text(&both), "  history 6/12 files 1000/s 10 min left");
        // What is left cannot be had.
        assert_eq!(text(&[source(5, 4, 0, Some(0))]), "  history 8/10 files 0/s");
        assert_eq!(text(&[source(5, 5, 0, Some(0))]), "");
    }

    #[test]
    fn nothing_is_idle_while_history_is_loaded() {
        let mut progress = Progress::new();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let figures = |seconds_left| {
            let history = Some(HistoryFigures { files: 2, seconds_left, ..HistoryFigures::default() });
            Figures { trades: 5, lag: Some(0), history, ..Figures::default() }
        };
        for (seconds, seconds_left) in [(0, None), (1, None), (2, Some(9)), (3, Some(0))] {
            assert_eq!(progress.idle_for(at(seconds)), None);
            progress.note(&figures(seconds_left), at(seconds));
        }
        assert_eq!(progress.idle_for(at(5)), Some(Duration::from_secs(2)));
    }

    #[test]
    fn the_line_has_every_figure_and_says_what_is_not_known() {
        let figures =
            Figures { trades: 1_200, streaming: 4, symbols: 5, missing: Some(3), ..Figures::default() };
        assert_eq!(line(&figures, 55), "1200 trades  55/s  lag ?  symbols 4/5  missing 3");
        let with_samples = Figures { samples: 7, ..figures };
        assert_eq!(line(&with_samples, 55), "1200 trades  7 samples  55/s  lag ?  symbols 4/5  missing 3");
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
