//! Which missing trades are asked for next. Pure: the ledger's holes come in, time is an argument.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use market::Market;
use store::{Hole, known_of_hole};
use tokio::time::Instant;

/// After the first answer that brought nothing, and at most; doubled in between.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Holes and what became of asking for them. The newest hole of a market comes first, so that live candles become
/// complete soonest; markets take turns.
#[derive(Debug, Default)]
pub(super) struct RepairQueue {
    tasks: BTreeMap<(Market, Hole), Task>,
    /// The market that was served last.
    last: Option<Market>,
}

/// What is known of a hole.
#[derive(Clone, Debug)]
struct Task {
    /// Answers in a row that brought nothing.
    attempts: u32,
    not_before: Instant,
    why_open: Option<String>,
}

/// Ids to ask for in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) market: Market,
    /// The hole that they are the newest part of.
    pub(super) hole: Hole,
    pub(super) ids: RangeInclusive<i64>,
}

impl RepairQueue {
    /// Takes the holes that count at `now`. What is left of an older hole keeps that one's history.
    pub(super) fn update<'a>(&mut self, holes: impl Iterator<Item = (&'a Market, Hole)>, now: Instant) {
        let before = std::mem::take(&mut self.tasks);
        for (market, hole) in holes {
            let known = known_of_hole(&before, market, hole).cloned();
            let task = known.unwrap_or(Task { attempts: 0, not_before: now, why_open: None });
            self.tasks.insert((market.clone(), hole), task);
        }
    }

    /// The newest ids, `most` of them, of the newest hole that is due, of the market whose turn it is.
    pub(super) fn next(&mut self, now: Instant, most: i64) -> Option<Chunk> {
        let due = |market: &Market| {
            let mut of_market = self.tasks.iter().rev().filter(|((of, _), _)| of == market);
            of_market.find(|(_, task)| task.not_before <= now).map(|((_, hole), _)| *hole)
        };
        let mut markets: Vec<&Market> = self.tasks.keys().map(|(market, _)| market).collect();
        markets.dedup();
        let turn = markets.iter().position(|market| Some(*market) > self.last.as_ref()).unwrap_or(0);
        markets.rotate_left(turn);
        let (market, hole) = markets.into_iter().find_map(|market| Some((market, due(market)?)))?;
        let chunk = Chunk {
            market: market.clone(),
            hole,
            ids: hole.first_id.max(hole.last_id - most + 1)..=hole.last_id,
        };
        self.last = Some(chunk.market.clone());
        Some(chunk)
    }

    /// The answer brought trades of this hole: what is left of it is asked for at once.
    pub(super) fn note_progress(&mut self, chunk: &Chunk, now: Instant) {
        if let Some(task) = self.tasks.get_mut(&(chunk.market.clone(), chunk.hole)) {
            *task = Task { attempts: 0, not_before: now, why_open: None };
        }
    }

    /// These ids of `market` are about to be holes, and the answer that brought what lies around them did not bring them,
    /// because of `why`.
    pub(super) fn note_left_open(
        &mut self,
        market: &Market,
        ids: &RangeInclusive<i64>,
        why: &str,
        now: Instant,
    ) {
        let hole = Hole { first_id: *ids.start(), last_id: *ids.end() };
        let task = Task { attempts: 1, not_before: now + LONGEST_PAUSE, why_open: Some(why.to_owned()) };
        self.tasks.insert((market.clone(), hole), task);
    }

    /// Whether a hole has been asked for in vain.
    pub(super) fn was_tried(&self, market: &Market, hole: Hole) -> bool {
        self.tasks.get(&(market.clone(), hole)).is_some_and(|task| task.attempts > 0)
    }

    /// The answer brought nothing of this hole, because of `why`.
    pub(super) fn note_nothing(&mut self, chunk: &Chunk, why: String, now: Instant) {
        if let Some(task) = self.tasks.get_mut(&(chunk.market.clone(), chunk.hole)) {
            let doubled = SHORTEST_PAUSE.saturating_mul(1 << task.attempts.min(16));
            task.not_before = now + doubled.min(LONGEST_PAUSE);
            task.attempts += 1;
            task.why_open = Some(why);
        }
    }

    /// Holes that were asked for in vain, and why they are still open.
    pub(super) fn unavailable(&self) -> impl Iterator<Item = (&Market, Hole, &str)> {
        self.tasks
            .iter()
            .filter_map(|((market, hole), task)| Some((market, *hole, task.why_open.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(symbol: &str) -> Market {
        Market::new("binance", symbol)
    }

    fn hole(first_id: i64, last_id: i64) -> Hole {
        Hole { first_id, last_id }
    }

    fn queue(holes: &[(&Market, Hole)], now: Instant) -> RepairQueue {
        let mut queue = RepairQueue::default();
        queue.update(holes.iter().copied(), now);
        queue
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_ids_of_the_newest_hole_come_first() {
        let (now, btc) = (Instant::now(), market("BTCUSDT"));
        let mut queue = queue(&[(&btc, hole(10, 20)), (&btc, hole(100, 2_500))], now);
        let chunk = queue.next(now, 999).unwrap();
        assert_eq!((chunk.hole, chunk.ids), (hole(100, 2_500), 1_502..=2_500));
        queue.update([(&btc, hole(10, 20)), (&btc, hole(100, 1_501))].into_iter(), now);
        assert_eq!(queue.next(now, 999).unwrap().ids, 503..=1_501);
    }

    #[tokio::test(start_paused = true)]
    async fn markets_take_turns() {
        let (now, ada, btc, eth) = (Instant::now(), market("ADAUSDT"), market("BTCUSDT"), market("ETHUSDT"));
        let mut queue = queue(&[(&ada, hole(1, 5)), (&btc, hole(1, 5)), (&eth, hole(1, 5))], now);
        let turns: Vec<_> = (0..4).map(|_| queue.next(now, 999).unwrap().market).collect();
        assert_eq!(turns, [ada.clone(), btc, eth, ada]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hole_that_stays_open_is_asked_for_less_and_less_often() {
        let (now, btc) = (Instant::now(), market("BTCUSDT"));
        let mut queue = queue(&[(&btc, hole(1, 5)), (&btc, hole(8, 9))], now);
        let mut at = now;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let chunk = queue.next(at, 999).filter(|chunk| chunk.hole == hole(8, 9)).unwrap();
            queue.note_nothing(&chunk, "not listed any more".to_owned(), at);
            let before = at;
            // Meanwhile the older one has its turn.
            assert_eq!(queue.next(at, 999).unwrap().hole, hole(1, 5));
            while queue.next(at, 999).is_some_and(|chunk| chunk.hole != hole(8, 9)) {
                at += Duration::from_secs(1);
            }
            pauses.push((at - before).as_secs());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        let open: Vec<_> = queue.unavailable().map(|(_, hole, why)| (hole, why.to_owned())).collect();
        assert_eq!(open, [(hole(8, 9), "not listed any more".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_hole_keeps_its_history_and_progress_clears_it() {
        let (now, btc) = (Instant::now(), market("BTCUSDT"));
        let mut queue = queue(&[(&btc, hole(1, 100))], now);
        let chunk = queue.next(now, 999).unwrap();
        queue.note_nothing(&chunk, "silent".to_owned(), now);
        let later = now + Duration::from_secs(60);
        queue.update([(&btc, hole(1, 40))].into_iter(), later);
        assert!(queue.was_tried(&btc, hole(1, 40)));
        let chunk = queue.next(later, 999).unwrap();
        queue.note_progress(&chunk, later);
        assert_eq!(queue.unavailable().count(), 0);
        assert!(!queue.was_tried(&btc, hole(1, 40)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_answer_left_open_is_not_asked_for_at_once() {
        let (now, btc) = (Instant::now(), market("BTCUSDT"));
        let mut queue = queue(&[(&btc, hole(1, 100))], now);
        let chunk = queue.next(now, 999).unwrap();
        queue.note_progress(&chunk, now);
        queue.note_left_open(&btc, &(5..=7), "merged", now);
        queue.update([(&btc, hole(5, 7)), (&btc, hole(50, 51))].into_iter(), now);
        assert_eq!(queue.next(now, 999).unwrap().hole, hole(50, 51));
        assert_eq!(queue.unavailable().collect::<Vec<_>>(), [(&btc, hole(5, 7), "merged")]);
    }
}
