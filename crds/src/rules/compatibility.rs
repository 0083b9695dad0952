//! What a pipeline has to be like for the queries and consumers of other systems to go on working: their tables know a symbol by its
//! name alone, their records have a field for everything.

use super::{Violation, refuse_unless};
use crate::candle_interval::CandleInterval;
use crate::spec::{Compatibility, CryptoPipelineSpec, Transport};
use crate::worker_settings::RecordEncoding;

pub(crate) const ENCODING_OF_FEED_CEL: &str = "!has(self.kafka) || !has(self.kafka.topic.encoding) || self.kafka.topic.encoding == 'own' \
    || self.sources.all(source, (self.kafka.topic.encoding == 'trade') == (!has(source.feed) || source.feed == 'trades'))";
pub(crate) const ENCODING_OF_FEED: &str = "encoding trade is of sources of feed trades alone, priceTick and ticker are of sources of feed tickers alone";
pub(crate) const TICKER_OF_STREAM_CEL: &str = "!has(self.kafka) || !has(self.kafka.topic.encoding) || self.kafka.topic.encoding != 'ticker' \
    || self.sources.all(source, !has(source.transport) || source.transport == 'websocket')";
pub(crate) const TICKER_OF_STREAM: &str = "encoding ticker is of transport websocket: prices that are asked for come without volume, high, low and open";
pub(crate) const ONE_SOURCE_CEL: &str = "!has(self.database) || !has(self.database.compatibility) \
    || self.database.compatibility.size() == 0 || self.sources.size() == 1";
pub(crate) const ONE_SOURCE: &str =
    "compatibility needs a single source: those tables know a symbol by its name alone";
pub(crate) const FEED_CEL: &str = "!has(self.database) || !has(self.database.compatibility) \
    || self.sources.all(source, !has(source.feed) || source.feed == 'trades' \
        ? !('moving-averages' in self.database.compatibility) : !('trades' in self.database.compatibility))";
pub(crate) const FEED: &str =
    "compatibility moving-averages is of feed tickers, trades is of feed trades; ohlc is of either";
pub(crate) const INTERVALS_CEL: &str = "!has(self.database) || !has(self.database.compatibility) \
    || !has(self.aggregation) || !has(self.aggregation.intervals) \
    || (!('moving-averages' in self.database.compatibility) || '1m' in self.aggregation.intervals) \
    && (!('ohlc' in self.database.compatibility) \
        || '1m' in self.aggregation.intervals && '5m' in self.aggregation.intervals)";
pub(crate) const INTERVALS: &str =
    "compatibility moving-averages needs 1m among aggregation.intervals, ohlc needs 1m and 5m";
pub(crate) const STORED_CEL: &str = "!has(self.database) || !has(self.database.compatibility) \
    || !('trades' in self.database.compatibility || 'ohlc' in self.database.compatibility) \
    || !has(self.aggregation) || !has(self.aggregation.storeTrades) || self.aggregation.storeTrades";
pub(crate) const STORED: &str =
    "compatibility trades and ohlc need aggregation.storeTrades: single trades are shown";
pub(crate) const SCHEMA_CEL: &str = "!has(self.compatibility) || !('trades' in self.compatibility) \
    || has(self.compatibilitySchema) && self.compatibilitySchema != (has(self.schema) ? self.schema : 'market')";
pub(crate) const SCHEMA: &str = "compatibility trades needs a compatibilitySchema other than schema, such as public: a table trades is there already";
pub(crate) const MANAGED_CEL: &str =
    "!has(self.compatibility) || self.compatibility.size() == 0 || !has(self.managed) || self.managed";
pub(crate) const MANAGED: &str =
    "managed may not be false where compatibility is named: the operator makes those views";

/// The same in Rust.
pub(super) fn check(found: &mut Vec<Violation>, spec: &CryptoPipelineSpec) {
    check_encoding(found, spec);
    let Some(database) = &spec.database else { return };
    let field = "spec.database.compatibility";
    let names = |name: Compatibility| database.compatibility.contains(&name);
    let is_asked = !database.compatibility.is_empty();
    refuse_unless(found, !is_asked || spec.sources.len() == 1, field, ONE_SOURCE);
    let of_feed = |of_trades: bool| {
        let other = if of_trades { Compatibility::MovingAverages } else { Compatibility::Trades };
        !names(other)
    };
    let fits = spec.sources.iter().all(|source| of_feed(source.reads_trades()));
    refuse_unless(found, fits, field, FEED);
    let has = |interval: CandleInterval| spec.aggregation.intervals.contains(&interval);
    let of_minutes = !names(Compatibility::MovingAverages) || has(CandleInterval::OneMinute);
    let of_both =
        !names(Compatibility::Ohlc) || has(CandleInterval::OneMinute) && has(CandleInterval::FiveMinutes);
    refuse_unless(found, of_minutes && of_both, field, INTERVALS);
    let shows_trades = names(Compatibility::Trades) || names(Compatibility::Ohlc);
    refuse_unless(found, !shows_trades || spec.aggregation.store_trades, field, STORED);
    let elsewhere = database.compatibility_schema.as_ref().is_some_and(|schema| *schema != database.schema);
    refuse_unless(
        found,
        !names(Compatibility::Trades) || elsewhere,
        "spec.database.compatibilitySchema",
        SCHEMA,
    );
    refuse_unless(found, !is_asked || database.managed, "spec.database.managed", MANAGED);
}

fn check_encoding(found: &mut Vec<Violation>, spec: &CryptoPipelineSpec) {
    let Some(kafka) = &spec.kafka else { return };
    let (field, encoding) = ("spec.kafka.topic.encoding", kafka.topic.encoding);
    let fits = spec
        .sources
        .iter()
        .all(|source| encoding.is_own() || (encoding == RecordEncoding::Trade) == source.reads_trades());
    refuse_unless(found, fits, field, ENCODING_OF_FEED);
    let streams = spec.sources.iter().all(|source| source.transport == Transport::Websocket);
    refuse_unless(found, encoding != RecordEncoding::Ticker || streams, field, TICKER_OF_STREAM);
}
