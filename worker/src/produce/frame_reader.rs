//! Messages of one connection -> trades or price samples to the publisher, notices to the connection's owner, and
//! malformed frames to the counters. Nothing in here waits.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use runtime::telemetry::traces;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tracing::Span;

use super::connection_progress::ConnectionProgress;
use super::frame_trace::frame_span;
use super::publisher::Publisher;
use super::state::ProducerState;
use crate::exchange::{FrameError, StreamEvent, parse_frame};
use crate::record::Content;

/// What a connection says apart from trades.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The request with this id was carried out.
    Acknowledged(i64),
    /// The request with this id, or one that could not be read, was refused, and why.
    Refused(Option<i64>, String),
    /// The exchange is about to close the connection.
    Shutdown,
    /// Nothing more comes, and why.
    Ended(String),
}

/// Reads the frames of one connection.
pub(crate) struct FrameReader {
    pub(crate) state: Arc<ProducerState>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) progress: Arc<ConnectionProgress>,
    /// The places of the connection's symbols among those of the source.
    pub(crate) places: Range<usize>,
}

impl FrameReader {
    /// Takes a message that came at `now`.
    pub(crate) fn take(&mut self, message: &Message, now: Instant) -> Option<Notice> {
        self.state.note_frame(now);
        let text = match message {
            Message::Text(text) => text.as_str(),
            Message::Binary(bytes) => {
                let shown = String::from_utf8_lossy(bytes);
                self.state.note_malformed(&FrameError::BinaryFrame(bytes.len()), &shown);
                return None;
            }
            _ => return None,
        };
        let frame = frame_span("websocket");
        let _within = frame.enter();
        match self.read(text, now, &frame) {
            Ok(notice) => notice,
            Err(error) => {
                traces::fail(&frame, error.reason());
                self.state.note_malformed(&error, text);
                None
            }
        }
    }

    fn read(&self, text: &str, now: Instant, frame: &Span) -> Result<Option<Notice>, FrameError> {
        let received_time_us = Timestamp::now().as_microsecond();
        match parse_frame(text, received_time_us)? {
            StreamEvent::Trade { symbol, trade } => {
                frame.record("cryptopipeline.trade_id", trade.trade_id);
                self.take_content(symbol, Content::Trade(trade), now, frame)?;
                Ok(None)
            }
            StreamEvent::Ticker { symbol, ticker } => {
                self.take_content(symbol, Content::Ticker(ticker), now, frame)?;
                Ok(None)
            }
            StreamEvent::Acknowledged { id } => Ok(Some(Notice::Acknowledged(id))),
            StreamEvent::Refused { id, message } => Ok(Some(Notice::Refused(id, message))),
            StreamEvent::ShutdownNotice => Ok(Some(Notice::Shutdown)),
        }
    }

    fn take_content(
        &self,
        symbol: Cow<'_, str>,
        content: Content,
        now: Instant,
        frame: &Span,
    ) -> Result<(), FrameError> {
        frame.record("cryptopipeline.symbol", symbol.as_ref());
        if content.feed() != self.state.feed {
            return Err(FrameError::UnexpectedFeed(content.feed()));
        }
        let place = self
            .state
            .feeds
            .place_of(&symbol)
            .filter(|place| self.places.contains(place))
            .ok_or_else(|| FrameError::UnexpectedSymbol(symbol.into_owned()))?;
        self.state.received.add(1);
        self.progress.note_delivered(place - self.places.start, content.position());
        let is_new = self.state.feeds.all()[place].take(content, now, |content| {
            self.publisher.publish(place, content, frame);
        });
        frame.record("cryptopipeline.trade.duplicate", !is_new);
        Ok(())
    }
}
