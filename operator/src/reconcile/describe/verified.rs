//! Whether candles are what the exchange's own trades add up to: from the comparisons in the database.

use std::collections::BTreeMap;

use crds::condition::Reason;
use crds::status::UnhealthySymbol;
use jiff::Timestamp;
use market::Market;
use store::{CheckVerdict, DifferingCandle, time_text};

use super::{Findings, Verdict, continuity, listed, with_separators};
use crate::reconcile::observe::{SchemaState, WorkerReports};
use crate::reconcile::plan::trade_markets;

/// How many wrong candles a message names.
const NAMED_CANDLES: usize = 3;

pub(super) fn data_verified(findings: &Findings<'_>, now: Timestamp) -> Verdict {
    if findings.pipeline.spec.trade_sources().next().is_none() {
        let message = "candles of tickers are made of samples, the exchange's own of every trade";
        return Verdict::unknown(Reason::NotApplicable, message);
    }
    let schema = match continuity::schema(findings) {
        Ok(schema) => schema,
        Err(unread) => return unread,
    };
    let wrong = wrong_candles(findings, schema);
    if !wrong.is_empty() {
        return Verdict::no(Reason::CandlesWrong, wrong_text(&wrong));
    }
    let compared = Compared::of(findings, schema);
    if let Some(why_not) = why_not_compared(findings, schema, &compared, now) {
        return Verdict::unknown(Reason::NotCompared, why_not);
    }
    let undecided = undecided(findings);
    if !undecided.is_empty() {
        let message = format!("{compared}; {}", listed(undecided));
        return Verdict::unknown(Reason::CheckUndecided, message);
    }
    Verdict::yes(Reason::CandlesVerified, compared.to_string())
}

pub(super) fn unhealthy_symbols(findings: &Findings<'_>) -> Vec<UnhealthySymbol> {
    let Ok(schema) = continuity::schema(findings) else { return Vec::new() };
    let mut by_market: BTreeMap<&Market, Vec<&DifferingCandle>> = BTreeMap::new();
    for candle in wrong_candles(findings, schema) {
        by_market.entry(&candle.market).or_default().push(candle);
    }
    by_market
        .into_iter()
        .map(|(market, wrong)| UnhealthySymbol {
            venue: market.venue.to_string(),
            symbol: market.symbol.to_string(),
            reason: Reason::CandlesWrong.to_string(),
            message: wrong_text(&wrong),
        })
        .collect()
}

/// How many candles of the wished markets were compared.
#[derive(Default)]
struct Compared {
    all: i64,
    equal: i64,
    differ: i64,
}

impl Compared {
    fn of(findings: &Findings<'_>, schema: &SchemaState) -> Self {
        let wished = trade_markets(&findings.pipeline.spec);
        let mut compared = Self::default();
        for count in schema.checks.counts.iter().filter(|count| wished.contains(&count.market)) {
            compared.all += count.windows;
            match count.verdict {
                CheckVerdict::Equal => compared.equal += count.windows,
                CheckVerdict::ExchangeDiffers => compared.differ += count.windows,
                CheckVerdict::OursWrong => {}
            }
        }
        compared
    }
}

impl std::fmt::Display for Compared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [all, equal, differ] = [self.all, self.equal, self.differ].map(with_separators);
        write!(formatter, "{all} candles checked, {equal} equal, {differ} differ at the exchange")
    }
}

fn wrong_candles<'a>(findings: &Findings<'_>, schema: &'a SchemaState) -> Vec<&'a DifferingCandle> {
    let wished = trade_markets(&findings.pipeline.spec);
    let differing = schema.checks.differing.iter();
    differing
        .filter(|candle| candle.verdict == CheckVerdict::OursWrong && wished.contains(&candle.market))
        .collect()
}

/// `binance:BTCUSDT 1m 2026-01-01T00:00:00Z: volume is 3, the exchange has 4 (2 more fields)`, and what mends it.
fn wrong_text(wrong: &[&DifferingCandle]) -> String {
    let name = |candle: &&DifferingCandle| {
        let first = candle.differences.first().map(ToString::to_string).unwrap_or_default();
        let more = match candle.differences.len() {
            0 | 1 => String::new(),
            2 => " (and 1 field more)".to_owned(),
            fields => format!(" (and {} fields more)", fields - 1),
        };
        format!("{} {} {}: {first}{more}", candle.market, candle.interval, time_text(candle.open_time_us))
    };
    let named: Vec<String> = wrong.iter().take(NAMED_CANDLES).map(name).collect();
    let more = wrong.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mended = wrong.first().map(|candle| {
        let DifferingCandle { market, interval, open_time_us, .. } = candle;
        let (from, to) = (time_text(*open_time_us), time_text(open_time_us + interval.length_us()));
        format!(
            "; `cryptopipeline rebuild` with --symbol {} --from {from} --to {to} folds it again from the exchange",
            market.symbol
        )
    });
    format!("{}{more}{}", named.join("; "), mended.unwrap_or_default())
}

fn why_not_compared(
    findings: &Findings<'_>,
    schema: &SchemaState,
    compared: &Compared,
    now: Timestamp,
) -> Option<String> {
    let spec = &findings.pipeline.spec;
    if !spec.repair.enabled {
        return Some(
            "without spec.repair.enabled nobody compares candles with the exchange's own".to_owned(),
        );
    }
    let has_candles = spec.trade_sources().any(|source| {
        spec.aggregation.intervals.iter().any(|interval| source.exchange.has_candles_of(interval.as_str()))
    });
    if !has_candles {
        let lengths: Vec<_> = spec.aggregation.intervals.iter().map(|interval| interval.as_str()).collect();
        return Some(format!("the exchange has no candles of its own of {}", listed(lengths)));
    }
    if compared.all == 0 {
        return Some("no candle has been compared with the exchange's own yet".to_owned());
    }
    let wished = trade_markets(spec);
    let away = continuity::not_probed(schema, &wished, now);
    // Who compares candles asks for the last ids too.
    (!away.is_empty()).then(|| format!("{compared}; nobody compares those of {} now", listed(away)))
}

/// What the repairer says of candles that differ while it is not decided who is wrong.
fn undecided(findings: &Findings<'_>) -> Vec<String> {
    let wished = trade_markets(&findings.pipeline.spec);
    let reports = findings.observed.workers.value();
    let undecided = reports
        .into_iter()
        .flat_map(WorkerReports::answered_repairers)
        .flat_map(|repairer| &repairer.undecided);
    undecided
        .filter(|check| wished.contains(&Market::new(check.venue.as_str(), check.symbol.as_str())))
        .map(|check| {
            format!(
                "{}:{} {} {}: {}",
                check.venue, check.symbol, check.interval, check.open_time, check.reason
            )
        })
        .collect()
}
