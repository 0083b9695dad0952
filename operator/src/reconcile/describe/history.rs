//! How far history is loaded: as the repairer tells it, and what it means for the chain.

use std::collections::BTreeSet;

use crds::spec::SourceSpec;
use crds::status::HistoryStatus;
use crds::worker_status::SourceHistoryStatus;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use market::Market;
use store::MarketLedger;

use super::{Findings, with_separators};
use crate::reconcile::observe::WorkerReports;

/// One for each source with history. A start that is not accepted is not here.
pub(super) fn statuses(findings: &Findings<'_>, now: Timestamp) -> Vec<HistoryStatus> {
    if findings.plan.is_err() {
        let before = findings.pipeline.status.as_ref();
        return before.map(|status| status.history.clone()).unwrap_or_default();
    }
    let wished = findings.pipeline.spec.sources.iter();
    let status = |source: &SourceSpec| {
        let told = told(findings, &source.name);
        let (files, loaded) = told.map(files).unzip();
        Some(HistoryStatus {
            source: source.name.clone(),
            from: source.history.as_ref()?.from.clone(),
            files: files.and_then(|files| i32::try_from(files).ok()),
            files_loaded: loaded.and_then(|loaded| i32::try_from(loaded).ok()),
            estimated_end: told.and_then(|told| estimated_end(told, now)),
        })
    };
    wished.filter_map(status).collect()
}

/// Markets of which nobody knows yet which wished trade is the first, be it of history or of a series that has just
/// begun: what is missing cannot be told.
pub(super) fn not_begun(findings: &Findings<'_>, ledgers: &[MarketLedger]) -> BTreeSet<Market> {
    let mut found = BTreeSet::new();
    for source in findings.pipeline.spec.trade_sources() {
        let wished_us = source.history.as_ref().map(|history| history.from.0.as_microsecond());
        let markets =
            source.symbols.iter().map(|symbol| Market::new(source.effective_venue(), symbol.as_str()));
        found.extend(markets.filter(|market| {
            let ledger = ledgers.iter().find(|ledger| ledger.market == *market);
            // A series wishes nothing from before it began.
            let wished_us = wished_us.max(ledger.and_then(|ledger| ledger.series_since_us));
            let known_us = ledger.and_then(|ledger| ledger.history_from_us);
            wished_us.is_some_and(|wished_us| known_us.is_none_or(|known_us| known_us > wished_us))
        }));
    }
    found
}

/// How far history is, for the end of a sentence; empty where nothing of it is left to load.
pub(super) fn remark(findings: &Findings<'_>) -> String {
    let sources = findings.pipeline.spec.sources.iter().filter(|source| source.history.is_some());
    sources.filter_map(|source| Some(remark_of(&source.name, told(findings, &source.name)?))).collect()
}

fn remark_of(name: &str, told: &SourceHistoryStatus) -> String {
    let (files, loaded) = files(told);
    if files == loaded {
        return String::new();
    }
    let mut text = format!("; history of source {name}: {loaded} of {files} files loaded");
    if told.trades_per_second > 0 {
        text += &format!(", {} trades a second", with_separators(told.trades_per_second));
    }
    if let Some(seconds) = told.seconds_left.filter(|seconds| *seconds > 0) {
        text += &format!(", about {} min left", seconds.div_ceil(60));
    }
    if !told.dumps.available {
        text += &format!(", the daily files: {}", told.dumps.message);
    }
    let mut unavailable = told.symbols.values().flat_map(|symbol| &symbol.unavailable);
    if let Some(file) = unavailable.next() {
        text += &format!(", not usable: {}", file.reason);
        let more = unavailable.count();
        if more > 0 {
            text += &format!(" and {more} more");
        }
    }
    text
}

fn told<'a>(findings: &Findings<'a>, source: &str) -> Option<&'a SourceHistoryStatus> {
    let reports = findings.observed.workers.value()?;
    WorkerReports::answered_repairers(reports).find_map(|repairer| repairer.history.get(source))
}

/// How many files there are, and how many are loaded.
fn files(told: &SourceHistoryStatus) -> (u64, u64) {
    let symbols = told.symbols.values();
    let count = |(files, loaded), symbol: &crds::worker_status::SymbolHistoryStatus| {
        (files + u64::from(symbol.days), loaded + u64::from(symbol.days_loaded))
    };
    symbols.fold((0, 0), count)
}

/// By whole minutes: it is an estimate, and a status that changes all the time would be written all the time.
fn estimated_end(told: &SourceHistoryStatus, now: Timestamp) -> Option<Time> {
    let seconds = i64::try_from(told.seconds_left.filter(|seconds| *seconds > 0)?).ok()?;
    let end = now.checked_add(SignedDuration::from_secs(seconds)).ok()?.as_second();
    Timestamp::from_second(end - end.rem_euclid(60) + 60).ok().map(Time)
}
