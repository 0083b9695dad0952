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
    /// The candles equal the exchange's own.
    DataVerified,
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
