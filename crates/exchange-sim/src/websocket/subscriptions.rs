//! What one connection has subscribed to, and what is due to it.

use super::frames::{Format, Frames};
use super::outbox;
use super::stream_name;
use super::symbol_cursor::SymbolCursor;
use crate::exchange::Exchange;

/// A connection is further behind the market than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

/// The streams of one connection.
#[derive(Debug)]
pub(super) struct Subscriptions {
    pub(super) format: Format,
    /// In the order of subscribing, silent ones included.
    names: Vec<String>,
    cursors: Vec<SymbolCursor>,
}

impl Subscriptions {
    pub(super) fn new(format: Format) -> Self {
        Self { format, names: Vec::new(), cursors: Vec::new() }
    }

    /// The names of all streams.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Adds the streams `names`. Those of symbols that do not exist are accepted and stay silent.
    pub(super) fn subscribe<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, exchange: &Exchange) {
        let mut streams = Vec::new();
        for name in names {
            if self.names.iter().any(|known| known == name) {
                continue;
            }
            self.names.push(name.to_owned());
            if let Some((symbol, kind)) = stream_name::parse(name)
                && let Some(market) = exchange.market_of_stream(symbol)
            {
                let at = self.cursors.iter().position(|cursor| cursor.is_of(symbol)).unwrap_or_else(|| {
                    self.cursors.push(SymbolCursor::new(market.clone()));
                    self.cursors.len() - 1
                });
                streams.push((at, name, kind));
            }
        }
        if streams.is_empty() {
            return;
        }
        // Only now, with all cursors at their places, so that the first subscriber misses nothing.
        exchange.begin();
        for (at, name, kind) in streams {
            let cursor = &mut self.cursors[at];
            cursor.add_stream(name, kind, exchange.played_until_us(cursor.market()));
        }
    }

    /// Removes the streams `names`; unknown ones are ignored.
    pub(super) fn unsubscribe(&mut self, names: &[String]) {
        self.names.retain(|name| !names.contains(name));
        for cursor in &mut self.cursors {
            names.iter().for_each(|name| cursor.remove_stream(name));
        }
        self.cursors.retain(|cursor| !cursor.is_idle());
    }

    /// Writes what is due, a batch at most. Returns whether there is more.
    ///
    /// # Errors
    /// Where this connection is too far behind.
    pub(super) fn fill(&mut self, exchange: &Exchange, frames: &mut Frames) -> Result<bool, TooSlow> {
        self.check_backlog(exchange)?;
        Ok(outbox::fill(&mut self.cursors, exchange, self.format, frames))
    }

    /// Looks how far the market is ahead.
    ///
    /// # Errors
    /// Where this connection is too far behind.
    pub(super) fn check_backlog(&mut self, exchange: &Exchange) -> Result<(), TooSlow> {
        let as_fast_as_read = exchange.clock().is_as_fast_as_read();
        let behind = self.cursors.iter_mut().map(|cursor| cursor.refresh(as_fast_as_read)).max();
        let is_too_slow = !as_fast_as_read && behind > Some(exchange.config.max_backlog_trades);
        if is_too_slow { Err(TooSlow) } else { Ok(()) }
    }
}
