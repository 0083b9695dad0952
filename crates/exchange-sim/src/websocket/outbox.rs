//! Merging the trades of a connection's symbols by time into one batch of frames.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::frames::{Format, Frames};
use super::symbol_cursor::SymbolCursor;
use crate::exchange::Exchange;

/// How many trades are looked at before the connection looks around: those that are not sent count too.
const BATCH_TRADES: usize = 4_096;

/// Writes frames until the batch is full or nothing is due any more. Returns whether there is more.
pub(super) fn fill(
    cursors: &mut [SymbolCursor],
    exchange: &Exchange,
    format: Format,
    frames: &mut Frames,
) -> bool {
    let has_more = write_trades(cursors, exchange, format, frames);
    if exchange.clock().is_as_fast_as_read() {
        // What has been written here is played by that.
        let was_done = exchange.is_done();
        cursors.iter().for_each(SymbolCursor::publish);
        if !was_done && exchange.is_done() {
            exchange.wake_connections();
        }
    }
    if !has_more {
        for cursor in cursors {
            cursor.add_timed_frames(exchange.played_until_us(cursor.market()), exchange, format, frames);
        }
    }
    has_more
}

fn write_trades(
    cursors: &mut [SymbolCursor],
    exchange: &Exchange,
    format: Format,
    frames: &mut Frames,
) -> bool {
    let mut due: BinaryHeap<Reverse<(i64, usize)>> = cursors
        .iter_mut()
        .enumerate()
        .filter_map(|(at, cursor)| Some(Reverse((cursor.next_clock_us()?, at))))
        .collect();
    let mut trades_left = BATCH_TRADES;
    while let Some(Reverse((_, at))) = due.pop() {
        let others_next_us = due.peek().map_or(i64::MAX, |Reverse((clock_us, _))| *clock_us);
        let cursor = &mut cursors[at];
        while let Some(trade) = cursor.peek() {
            let clock_us = cursor.market().clock_us(trade.time_us);
            if frames.is_full() || trades_left == 0 {
                return true;
            }
            if clock_us > others_next_us {
                due.push(Reverse((clock_us, at)));
                break;
            }
            cursor.pass(&trade, exchange, format, frames);
            trades_left -= 1;
        }
    }
    false
}
