//! The names of conditions and reasons: part of what users' scripts rely on.

use std::fmt;

/// What a condition is about. Prints as its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionKind {
    /// The spec can work.
    SpecValid,
    /// The topic is as declared.
    TopicReady,
    /// The schema has the tables that the workers need, and belongs to this pipeline.
    SchemaReady,
    /// Every producer runs and knows its symbols.
    ProducersReady,
    /// Every aggregator runs.
    AggregatorsReady,
    /// Trades come from every symbol.
    DataFlowing,
    /// No trade is missing between the first and the last.
    DataContinuous,
    /// The candles were compared with the exchange's own, and none is wrong.
    DataVerified,
    /// The tables take less room than the spec allows; only where it sets a limit.
    StorageWithinLimit,
    /// All the resources are ready.
    Ready,
    /// The operator is at work, or waits for something that may mend itself.
    Reconciling,
    /// Nothing goes on until a person acts.
    Stalled,
}

impl fmt::Display for ConditionKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// Why a condition has its status. Prints as its `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The spec can work.
    Accepted,
    /// The spec breaks a rule.
    RuleBroken,

    /// Nothing has been read yet.
    NotReadYet,
    /// Something has to be done first.
    Waiting,
    /// The API server refused an object, or did not answer.
    ApplyFailed,
    /// `spec.suspend` is set and everything has come to rest.
    Suspended,
    /// `spec.suspend` is set and the topic is being read to its end.
    Draining,
    /// The resource is being deleted.
    Deleting,

    /// The topic is as declared.
    TopicAsDeclared,
    /// The topic is not there and is not ours to make.
    TopicNotFound,
    /// The topic is not as declared and cannot or may not be changed.
    TopicDiffers,
    /// An older resource uses the same topic.
    TopicOwnedByAnother,
    /// No broker answers.
    BrokerUnreachable,
    /// The broker answers and refuses.
    BrokerRefused,

    /// The schema has the tables that the workers need, and is ours.
    SchemaCurrent,
    /// The Secret is not there.
    SecretNotFound,
    /// The Secret has no such key.
    SecretKeyNotFound,
    /// The Secret may not be read.
    SecretUnreadable,
    /// The database does not answer.
    DatabaseUnreachable,
    /// The database answers and refuses, or its URL cannot be used.
    DatabaseRefused,
    /// A newer program has migrated the schema.
    SchemaTooNew,
    /// The schema could not be brought to the version that is needed.
    MigrationFailed,
    /// The tables are not as the migrations leave them.
    SchemaDiffers,
    /// The views that `spec.database.compatibility` names are not there; everything else goes on.
    ViewsNotMade,
    /// The schema is older than needed and not ours to migrate.
    MigrationRequired,
    /// The workers' user may not use the schema, which is not ours to change.
    RightsRequired,
    /// The schema belongs to another pipeline.
    SchemaOwnedByAnother,

    /// Every pod is ready.
    PodsReady,
    /// Pods start or are replaced.
    PodsStarting,
    /// Pods fail.
    PodsFailing,
    /// There are to be no pods.
    ScaledToZero,
    /// The exchange does not list a symbol.
    UnknownSymbol,

    /// Trades come from every symbol.
    TradesArriving,
    /// Tickers of a symbol come, and repeat one price for so long that the exchange may say an old one.
    PriceFrozen,
    /// Not every symbol has had a trade since its producer started.
    WaitingForTrades,
    /// Trades come, and the aggregators do not keep up with them.
    FallingBehind,
    /// Trades come, and of few partitions more than an aggregator keeps up with.
    PartitionHot,
    /// No worker has told how it is.
    WorkersNotAnswering,
    /// The exchange does not answer a producer.
    ExchangeUnreachable,
    /// A symbol has been silent for longer than its rhythm explains.
    SymbolSilent,
    /// The exchange does not trade a symbol now.
    SymbolNotTrading,
    /// A producer cannot reach the broker, or an aggregator the broker or the database.
    WorkersBlocked,

    /// No trade is held yet.
    NoTradesYet,
    /// Trades are missing.
    TradesMissing,
    /// History is wished, and its first trade is not known yet.
    HistoryNotBegun,
    /// Trades exist that cannot be held.
    TradesRefused,
    /// The exchange numbers the trades of a symbol anew, and nobody has begun a series for them.
    IdsRestarted,
    /// Ids are missing that may still wait in the topic.
    HoleUnconfirmed,
    /// No trade is missing up to the last id that the exchange has.
    ChainUnbroken,
    /// No trade is missing up to the last one held; nobody has asked the exchange for its last id.
    HeadNotProbed,
    /// Tickers alone are read: they have no ids, and no candles at the exchange to compare with.
    NotApplicable,
    /// Nobody has compared the candles with the exchange's own.
    NotCompared,
    /// Every candle that was compared follows from the exchange's trades.
    CandlesVerified,
    /// A candle does not follow from the exchange's trades.
    CandlesWrong,
    /// A candle differs, and it is not decided who is wrong.
    CheckUndecided,

    /// The tables take well less room than they may.
    StorageSufficient,
    /// The tables take most of the room that they may.
    StorageNearLimit,
    /// The tables take all the room that they may, or more.
    StorageLimitReached,

    /// All is well.
    AllReady,
    /// Nothing is to be done.
    Settled,
    /// Something does not go on by itself.
    NeedsAttention,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}
