//! Exchanges that number a symbol's trades anew: what is said, and which series begin.

use crds::CryptoPipeline;
use crds::spec::SeriesSpec;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use market::{IdRestart, Market};
use operator::reconcile::apply::Applied;
use operator::reconcile::observe::{Observed, Reading};
use operator::reconcile::plan::{Place, plan};
use store::BegunSeries;

use crate::describe::{condition, said, status};
use crate::world::{NOW, away, fixture, known, minimal, planned, running_world, schema_as_needed, second};

const NOW_US: i64 = NOW * 1_000_000;

/// The trades of BTCUSDT are said to be numbered anew since each of these times.
fn with_series(times_us: &[i64]) -> CryptoPipeline {
    minimal(|pipeline| {
        let series = |time_us: &i64| SeriesSpec {
            symbol: "BTCUSDT".to_owned(),
            since: MicroTime(Timestamp::from_microsecond(*time_us).unwrap()),
        };
        pipeline.spec.sources[0].series = times_us.iter().map(series).collect();
    })
}

fn begun(since_us: i64) -> BegunSeries {
    BegunSeries { market: Market::new("binance", "BTCUSDT"), since_us }
}

/// A world whose newest trade of BTCUSDT lies 30 s back, and where these series have begun.
fn world(series: &[BegunSeries]) -> Observed {
    let pipeline = fixture("minimal");
    let mut schema = schema_as_needed(&pipeline);
    schema.ledgers[0].earliest_series_us = Some(NOW_US - 30_000_000 + 1);
    schema.series = series.to_vec();
    Observed { schema: known(schema), ..running_world(&pipeline) }
}

/// The field and the rule that it breaks.
fn broken(pipeline: &CryptoPipeline, observed: &Observed) -> Vec<(String, String)> {
    let violations = plan(pipeline, observed, Place::Cluster, second(NOW)).err().unwrap_or_default();
    violations.into_iter().map(|violation| (violation.field, violation.rule)).collect()
}

#[test]
fn a_symbol_that_is_numbered_anew_is_named_with_what_to_write() {
    let pipeline = fixture("minimal");
    let mut observed = world(&[]);
    if let Reading::Known { value, .. } = &mut observed.schema {
        value.ledgers[0].restart = Some(IdRestart { since_us: NOW_US - 9_000_000, trades: 1_200 });
    }
    let status = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&status, "DataContinuous"), "False/IdsRestarted");
    let message = &condition(&status, "DataContinuous").message;
    let newest = Timestamp::from_microsecond(NOW_US - 30_000_000 + 1).unwrap();
    assert!(message.starts_with("binance:BTCUSDT numbers its trades anew since "), "{message}");
    assert!(message.ends_with(&format!("has {{symbol: BTCUSDT, since: {newest}}}")), "{message}");
    assert_eq!(status.unhealthy_symbols[0].reason, "IdsRestarted");
}

#[test]
fn the_series_that_the_database_does_not_have_begin_in_their_order() {
    let (first_us, second_us) = (NOW_US - 20_000_000, NOW_US - 10_000_000);
    let pipeline = with_series(&[second_us, first_us]);
    let to_begin = |observed: &Observed| planned(&pipeline, observed).schema.series.to_begin;
    assert_eq!(to_begin(&world(&[])), [begun(first_us), begun(second_us)]);
    assert_eq!(to_begin(&world(&[begun(first_us)])), [begun(second_us)]);
    assert_eq!(to_begin(&world(&[begun(first_us), begun(second_us)])), []);
    let unread = Observed { schema: away("connection refused"), ..world(&[]) };
    assert_eq!(to_begin(&unread), []);
}

#[test]
fn a_series_that_cannot_begin_is_refused_with_field_value_and_rule() {
    let refused = |time_us: i64, observed: &Observed| {
        let pipeline = with_series(&[time_us]);
        let plan = planned(&pipeline, observed);
        assert_eq!((plan.schema.series.to_begin.len(), plan.schema.series.refused.len()), (0, 1));
        let status = status(&pipeline, observed, &Applied::default());
        assert_eq!(said(&status, "SchemaReady"), "False/RuleBroken");
        condition(&status, "SchemaReady").message.clone()
    };
    let rule = refused(NOW_US - 30_000_000, &world(&[]));
    assert!(rule.starts_with("spec.sources[0].series[0].since: 20"), "{rule}");
    assert!(rule.ends_with("trades until then are held under the ids of before"), "{rule}");
    let rule = refused(NOW_US - 20_000_000, &world(&[begun(NOW_US - 10_000_000)]));
    assert!(rule.contains("lies before the series that began at"), "{rule}");
    let mut restarted = world(&[]);
    if let Reading::Known { value, .. } = &mut restarted.schema {
        value.ledgers[0].restart = Some(IdRestart { since_us: NOW_US - 9_000_000, trades: 1_200 });
    }
    let rule = refused(NOW_US - 9_000_000 + 1, &restarted);
    assert!(rule.ends_with("trades from then on would belong to neither numbering"), "{rule}");
}

#[test]
fn a_series_that_nobody_could_begin_breaks_a_rule() {
    let broken_rule = |pipeline: &CryptoPipeline| broken(pipeline, &world(&[])).remove(0);
    let (field, rule) = broken_rule(&with_series(&[NOW_US + 1]));
    assert_eq!(field, "spec.sources[0].series[0].since");
    assert!(rule.contains("lies in the future"), "{rule}");
    let mut elsewhere = with_series(&[NOW_US - 1]);
    elsewhere.spec.sources[0].series[0].symbol = "XRPUSDT".to_owned();
    let (field, rule) = broken_rule(&elsewhere);
    assert_eq!(
        (field.as_str(), rule.as_str()),
        ("spec.sources[0].series[0].symbol", "XRPUSDT is none of the source's symbols")
    );
}

#[test]
fn a_series_whose_first_trade_nobody_knows_is_not_continuous_yet() {
    let pipeline = with_series(&[NOW_US - 20_000_000]);
    let of = |history_from_us| {
        let mut schema = schema_as_needed(&pipeline);
        schema.series = vec![begun(NOW_US - 20_000_000)];
        schema.ledgers[0].series_since_us = Some(NOW_US - 20_000_000);
        schema.ledgers[0].history_from_us = history_from_us;
        let observed = Observed { schema: known(schema), ..running_world(&pipeline) };
        said(&status(&pipeline, &observed, &Applied::default()), "DataContinuous")
    };
    assert_eq!(of(None), "Unknown/HistoryNotBegun");
    assert_eq!(of(Some(NOW_US - 20_000_000)), "True/ChainUnbroken");
}
