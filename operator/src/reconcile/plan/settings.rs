//! From the spec to the files that the workers read.

use std::collections::BTreeMap;

use crds::CryptoPipelineSpec;
use crds::spec::{AggregationSpec, SourceSpec};
use crds::worker_settings::{
    AggregationSettings, AggregatorSettings, DatabaseSettings, ExchangeKind, HistorySettings,
    IndicatorSettings, KafkaSettings, LedgerSettings, PipelineId, ProducerSettings, RepairerSettings,
    SourceHistorySettings, SourceSettings, TlsFiles,
};

use super::{Place, WishedTopic, secrets};

pub(super) fn producer_settings(
    id: &PipelineId,
    spec: &CryptoPipelineSpec,
    source: &SourceSpec,
    place: Place<'_>,
    topic: &WishedTopic,
) -> ProducerSettings {
    ProducerSettings {
        pipeline: id.clone(),
        source: source_settings(spec, source),
        kafka: kafka_settings(spec, place, topic),
    }
}

pub(super) fn repairer_settings(
    id: &PipelineId,
    spec: &CryptoPipelineSpec,
    place: Place<'_>,
    topic: &WishedTopic,
) -> RepairerSettings {
    RepairerSettings {
        pipeline: id.clone(),
        sources: spec.trade_sources().map(|source| source_settings(spec, source)).collect(),
        kafka: kafka_settings(spec, place, topic),
        database: LedgerSettings { schema: super::schema::name_of(spec), tls: database_tls(spec, place) },
        history: history_settings(spec),
    }
}

/// `None` where no source has history: the repairer then depends on nothing that is made of the trades.
fn history_settings(spec: &CryptoPipelineSpec) -> Option<HistorySettings> {
    let wished = spec.sources.iter().filter_map(|source| {
        let (from, dumps_url) = (source.history.as_ref()?.from.0, dumps_url(source)?);
        Some((source.name.clone(), SourceHistorySettings { from, dumps_url }))
    });
    let sources: BTreeMap<_, _> = wished.collect();
    (!sources.is_empty()).then(|| HistorySettings {
        sources,
        intervals: intervals(spec),
        store_trades: spec.aggregation.store_trades,
        indicators: indicators(&spec.aggregation),
    })
}

/// `None` where nothing is asked for, so that the settings of other pipelines stay as they were.
fn indicators(aggregation: &AggregationSpec) -> Option<IndicatorSettings> {
    let AggregationSpec { moving_average, whale_trade, .. } = aggregation;
    if moving_average.is_none() && whale_trade.is_none() {
        return None;
    }
    let whale_trade = whale_trade.clone().unwrap_or_default();
    let by_asset = whale_trade.quote_assets.into_iter().map(|quoted| (quoted.asset, quoted.min_value));
    Some(IndicatorSettings {
        moving_average_trades: moving_average
            .as_ref()
            .and_then(|average| usize::try_from(average.trades).ok()),
        whale_value: whale_trade.min_value,
        whale_values: by_asset.collect(),
    })
}

fn source_settings(spec: &CryptoPipelineSpec, source: &SourceSpec) -> SourceSettings {
    let mut symbols = source.symbols.clone();
    symbols.sort_unstable();
    SourceSettings {
        name: source.name.clone(),
        exchange: source.exchange,
        venue: source.effective_venue().to_owned(),
        symbols,
        feed: source.feed,
        encoding: spec.kafka.as_ref().map(|kafka| kafka.topic.encoding).unwrap_or_default(),
        poll_interval_ms: source.poll_interval_ms(),
        websocket_url: websocket_url(source),
        rest_url: rest_url(source),
    }
}

pub(super) fn websocket_url(source: &SourceSpec) -> String {
    let endpoints = source.endpoints.as_ref();
    let named = endpoints.and_then(|endpoints| endpoints.websocket.clone());
    named.unwrap_or_else(|| own_endpoints(source.exchange).websocket.to_owned())
}

pub(super) fn rest_url(source: &SourceSpec) -> String {
    let endpoints = source.endpoints.as_ref();
    let named = endpoints.and_then(|endpoints| endpoints.rest.clone());
    named.unwrap_or_else(|| own_endpoints(source.exchange).rest.to_owned())
}

/// Where the daily files are; `None` for a source without history, which reads none.
pub(super) fn dumps_url(source: &SourceSpec) -> Option<String> {
    source.history.as_ref()?;
    let endpoints = source.endpoints.as_ref();
    let named = endpoints.and_then(|endpoints| endpoints.dumps.clone());
    Some(named.unwrap_or_else(|| own_endpoints(source.exchange).dumps.to_owned()))
}

pub(super) fn aggregator_settings(
    id: &PipelineId,
    spec: &CryptoPipelineSpec,
    place: Place<'_>,
    topic: &WishedTopic,
) -> AggregatorSettings {
    let retention = spec.database.as_ref().map(|database| &database.retention);
    AggregatorSettings {
        pipeline: id.clone(),
        kafka: kafka_settings(spec, place, topic),
        database: DatabaseSettings {
            schema: super::schema::name_of(spec),
            tls: database_tls(spec, place),
            trades_retention_s: retention.and_then(|kept| kept.trades.as_ref()?.seconds()),
            candles_retention_s: retention.and_then(|kept| kept.candles.as_ref()?.seconds()),
        },
        aggregation: AggregationSettings {
            intervals: intervals(spec),
            store_trades: spec.aggregation.store_trades,
            indicators: indicators(&spec.aggregation),
            flush_interval_ms: spec.aggregation.flush_interval_ms().unwrap_or_default(),
        },
    }
}

/// Sorted by length.
fn intervals(spec: &CryptoPipelineSpec) -> Vec<String> {
    let mut intervals = spec.aggregation.intervals.clone();
    intervals.sort_unstable();
    intervals.into_iter().map(|interval| interval.as_str().to_owned()).collect()
}

fn kafka_settings(spec: &CryptoPipelineSpec, place: Place<'_>, topic: &WishedTopic) -> KafkaSettings {
    let embedded = match place {
        Place::Machine { embedded_broker } => embedded_broker,
        Place::Cluster => "",
    };
    KafkaSettings {
        bootstrap_servers: spec.kafka.as_ref().map_or(embedded, |kafka| &kafka.bootstrap_servers).to_owned(),
        topic: topic.name.clone(),
        tls: in_pods(place, spec.kafka.as_ref().and_then(secrets::kafka_tls)),
        sasl: in_pods(place, spec.kafka.as_ref().and_then(secrets::kafka_sasl)),
        client_config: spec.kafka.as_ref().map(|kafka| kafka.client_config.clone()).unwrap_or_default(),
    }
}

fn database_tls(spec: &CryptoPipelineSpec, place: Place<'_>) -> Option<TlsFiles> {
    in_pods(place, spec.database.as_ref().and_then(secrets::database_tls))
}

/// Workers on this machine are handed their credentials; no file holds them.
fn in_pods<T>(place: Place<'_>, files: Option<T>) -> Option<T> {
    files.filter(|_| place == Place::Cluster)
}

struct Endpoints {
    websocket: &'static str,
    rest: &'static str,
    dumps: &'static str,
}

const fn own_endpoints(exchange: ExchangeKind) -> Endpoints {
    match exchange {
        ExchangeKind::Binance => Endpoints {
            websocket: "wss://stream.binance.com:9443",
            rest: "https://api.binance.com",
            dumps: "https://data.binance.vision",
        },
    }
}
