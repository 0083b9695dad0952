//! How a pipeline does, for people.

use std::io::{self, Write};

use crds::CryptoPipeline;
use crds::status::{HistoryStatus, RoleStatus};
use jiff::Timestamp;

use super::health::{Finding, Health, Readiness};
use crate::output::{UNKNOWN, age, counted, or_unknown};
use crate::table::{self, Column};

/// The same text as `status` prints.
pub(in crate::plugin) fn as_text(pipeline: &CryptoPipeline, now: Timestamp) -> io::Result<String> {
    let mut out = Vec::new();
    write_text(&Health::of(pipeline), now, &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

pub(super) fn write_text(health: &Health, now: Timestamp, mut out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", headline(health))?;
    if let Some(outdated) = &health.outdated {
        writeln!(out, "\n{outdated}")?;
    }
    write_findings("WRONG", &health.wrong, now, out)?;
    write_findings("NOT KNOWN", &health.unknown, now, out)?;
    writeln!(out)?;
    let columns = [
        Column::Left("CONDITION"),
        Column::Left("STATUS"),
        Column::Left("FOR"),
        Column::Left("REASON"),
        Column::Left("MESSAGE"),
    ];
    let row = |finding: &Finding| {
        let Finding { condition, status, reason, message, since, .. } = finding;
        vec![condition.clone(), status.clone(), age(*since, now), reason.clone(), message.clone()]
    };
    table::write(&columns, &health.conditions.iter().map(row).collect::<Vec<_>>(), &mut out)?;
    writeln!(out)?;
    table::write(&[Column::Left("FIGURE"), Column::Left("VALUE")], &figures(health, now), &mut out)?;
    write_symbols(health, out)
}

fn headline(health: &Health) -> String {
    let Health { pipeline, namespace, reason, .. } = health;
    let reason = reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
    match health.readiness {
        Readiness::Ready => format!("{pipeline} in namespace {namespace} is Ready"),
        Readiness::NotReady if health.suspended => {
            format!("{pipeline} in namespace {namespace} is not Ready: spec.suspend is true{reason}")
        }
        Readiness::NotReady => format!("{pipeline} in namespace {namespace} is not Ready{reason}"),
        Readiness::Unknown => {
            format!("whether {pipeline} in namespace {namespace} is Ready is not known{reason}")
        }
    }
}

fn write_findings(
    heading: &str,
    findings: &[Finding],
    now: Timestamp,
    out: &mut dyn Write,
) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{heading}")?;
    for finding in findings {
        let Finding { condition, reason, message, since, next, .. } = finding;
        writeln!(out, "  {condition} for {} ({reason}): {message}", age(*since, now))?;
        if let Some(next) = next {
            writeln!(out, "    -> {next}")?;
        }
    }
    Ok(())
}

fn figures(health: &Health, now: Timestamp) -> Vec<Vec<String>> {
    let unknown = || UNKNOWN.to_owned();
    let topic = health.topic.as_ref().map_or_else(unknown, |topic| topic.name.clone());
    let schema = health.schema.as_ref();
    let schema = schema.map_or_else(unknown, |schema| format!("{}, version {}", schema.name, schema.version));
    let at = health.figures_time.map_or_else(String::new, |at| format!(", {} ago", age(at, now)));
    let figure = |count: Option<i64>, one: &str, many: &str| {
        count.map_or_else(unknown, |count| format!("{}{at}", counted(count, one, many)))
    };
    let pods = |role: &RoleStatus| format!("{} of {} ready", role.ready, role.desired);
    let mut rows = vec![
        ("topic", format!("{topic}, {} partitions", or_unknown(health.partitions))),
        ("schema", schema),
        ("symbols", or_unknown(health.symbols)),
        ("producers", pods(&health.producers)),
        ("aggregators", pods(&health.aggregators)),
        ("lag", figure(health.lag, "record", "records")),
        ("missing", figure(health.missing_trades, "trade", "trades")),
    ];
    rows.extend(health.history.iter().map(|history| ("history", describe_history(history))));
    rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

fn describe_history(history: &HistoryStatus) -> String {
    let HistoryStatus { source, from, files, files_loaded, .. } = history;
    format!("{source} from {}: {} of {} files loaded", from.0, or_unknown(*files_loaded), or_unknown(*files))
}

fn write_symbols(health: &Health, mut out: &mut dyn Write) -> io::Result<()> {
    if health.unhealthy_symbols.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let row = |symbol: &crds::status::UnhealthySymbol| {
        let name = format!("{}:{}", symbol.venue, symbol.symbol);
        vec![name, symbol.reason.clone(), symbol.message.clone()]
    };
    let rows: Vec<Vec<String>> = health.unhealthy_symbols.iter().map(row).collect();
    table::write(&[Column::Left("SYMBOL"), Column::Left("REASON"), Column::Left("MESSAGE")], &rows, &mut out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_comes_first_with_what_to_do_and_what_is_unknown_is_called_so() {
        let pipeline = json!({
            "metadata": {"name": "quickstart", "namespace": "market", "generation": 2},
            "spec": {"sources": []},
            "status": {
                "observedGeneration": 2,
                "partitions": 3,
                "symbols": 5,
                "topic": {"name": "crypto-trades"},
                "aggregators": {"desired": 3, "replicas": 3, "ready": 2},
                "missingTrades": 1203,
                "figuresTime": "2026-01-01T00:00:00Z",
                "conditions": [
                    {"type": "TopicReady", "status": "True", "reason": "TopicAsDeclared", "message": "as declared",
                     "lastTransitionTime": "2026-01-01T00:00:00Z"},
                    {"type": "DataContinuous", "status": "False", "reason": "TradesMissing",
                     "message": "BTCUSDT misses 1,203 trades", "lastTransitionTime": "2026-01-01T00:00:00Z"},
                    {"type": "Ready", "status": "True", "reason": "AllReady", "message": "all is ready",
                     "lastTransitionTime": "2026-01-01T00:00:00Z"},
                ],
            },
        });
        let pipeline = serde_json::from_value(pipeline).unwrap();
        let text = as_text(&pipeline, "2026-01-01T00:03:00Z".parse().unwrap()).unwrap();
        assert_eq!(
            text,
            "quickstart in namespace market is Ready\n\
             \n\
             WRONG\n  \
               DataContinuous for 3 min (TradesMissing): BTCUSDT misses 1,203 trades\n    \
                 -> kubectl cryptopipeline gaps quickstart -n market\n\
             \n\
             CONDITION       STATUS  FOR    REASON           MESSAGE\n\
             TopicReady      True    3 min  TopicAsDeclared  as declared\n\
             DataContinuous  False   3 min  TradesMissing    BTCUSDT misses 1,203 trades\n\
             Ready           True    3 min  AllReady         all is ready\n\
             \n\
             FIGURE       VALUE\n\
             topic        crypto-trades, 3 partitions\n\
             schema       unknown\n\
             symbols      5\n\
             producers    0 of 0 ready\n\
             aggregators  2 of 3 ready\n\
             lag          unknown\n\
             missing      1203 trades, 3 min ago\n"
        );
    }
}
