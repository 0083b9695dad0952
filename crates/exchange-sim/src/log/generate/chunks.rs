//! The chunks of a generated log: each is made from a copy of the generator as it stood before the chunk.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use market::Fixed8;

use super::{Generator, GeneratorSettings};
use crate::log::{CHUNK_TRADES, Chunk, Trade};

/// Chunks kept for those who read at almost the same place: subscribers and the candles.
const CACHED_CHUNKS: usize = 4;

/// A generated log, as far as somebody has read.
#[derive(Debug)]
pub(in crate::log) struct GeneratedChunks {
    tick_size: Fixed8,
    step_size: Fixed8,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Before each chunk that has been reached; the last one has not been made yet.
    starts: Vec<Generator>,
    /// The first trade of each chunk that has been made.
    firsts: Vec<Trade>,
    cache: VecDeque<(usize, Chunk)>,
    /// The last trade of the chunks that have been made, and whether the log ends with it.
    last: Option<Trade>,
    has_ended: bool,
}

impl GeneratedChunks {
    pub(in crate::log) fn new(settings: &GeneratorSettings) -> Self {
        let generator = Generator::new(settings);
        Self {
            tick_size: generator.profile.tick_size,
            step_size: generator.profile.step_size,
            state: Mutex::new(State {
                starts: vec![generator],
                firsts: Vec::new(),
                cache: VecDeque::new(),
                last: None,
                has_ended: false,
            }),
        }
    }

    pub(in crate::log) fn tick_size(&self) -> Fixed8 {
        self.tick_size
    }

    pub(in crate::log) fn step_size(&self) -> Fixed8 {
        self.step_size
    }

    /// The chunk `number`; makes those before it that nobody has read yet.
    pub(in crate::log) fn chunk(&self, number: usize) -> Option<Chunk> {
        let mut state = self.lock();
        while state.firsts.len() <= number {
            let next = state.firsts.len();
            state.make(next)?;
        }
        if let Some((_, chunk)) = state.cache.iter().find(|(cached, _)| *cached == number) {
            return Some(chunk.clone());
        }
        state.make(number)
    }

    /// The first trade of chunk `number`, if that has been made.
    pub(in crate::log) fn first_of(&self, number: usize) -> Option<Trade> {
        self.lock().firsts.get(number).copied()
    }

    /// The last trade, if the end has been reached.
    pub(in crate::log) fn known_last(&self) -> Option<Trade> {
        let state = self.lock();
        state.last.filter(|_| state.has_ended)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes chunk `number`, all before which have been made. `None` past the end.
    fn make(&mut self, number: usize) -> Option<Chunk> {
        let mut generator = self.starts.get(number)?.clone();
        let chunk: Chunk = generator.by_ref().take(CHUNK_TRADES).collect();
        if number == self.firsts.len() {
            self.firsts.extend(chunk.first());
            self.last = chunk.last().copied().or(self.last);
            if chunk.len() == CHUNK_TRADES {
                self.starts.push(generator);
            } else {
                self.has_ended = true;
            }
        }
        chunk.first()?;
        self.cache.push_back((number, chunk.clone()));
        if self.cache.len() > CACHED_CHUNKS {
            self.cache.pop_front();
        }
        Some(chunk)
    }
}
