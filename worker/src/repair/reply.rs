//! What an answer proves of the ids that were asked for. Pure.

use std::ops::RangeInclusive;

use market::{RefusedTrade, Trade};
use store::IdsWithoutTrade;

use crate::exchange::AskedTrade;

/// An answer to the question for trades from the id just below `asked` on, sorted out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The trades that were asked for, ascending.
    pub(super) found: Vec<Trade>,
    /// Trades that were asked for, exist and cannot be held.
    pub(super) refused: Vec<RefusedTrade>,
    /// Ids of trades that were asked for, exist and are only told together: each run of them as one.
    pub(super) merged: Vec<RangeInclusive<i64>>,
    /// Ids without a trade although both neighbours are in the answer: as far as this answer goes, they do not exist.
    pub(super) absent: Vec<IdsWithoutTrade>,
    /// Ids of which the answer says nothing: it begins above them or ends below them.
    pub(super) silent: Vec<RangeInclusive<i64>>,
}

impl Reply {
    fn note_merged(&mut self, ids: RangeInclusive<i64>) {
        match self.merged.last_mut() {
            Some(before) if before.end() + 1 == *ids.start() => *before = *before.start()..=*ids.end(),
            _ => self.merged.push(ids),
        }
    }
}

/// Sorts out an answer; `rows` are by ascending id, without repeats.
pub(super) fn sort_out(asked: &RangeInclusive<i64>, rows: &[AskedTrade]) -> Reply {
    let mut reply = Reply::default();
    let mut next_id = *asked.start();
    let mut below: Option<&AskedTrade> = None;
    for row in rows.iter().take_while(|row| row.first_id() <= asked.end() + 1) {
        let missing = next_id..=(row.first_id() - 1).min(*asked.end());
        if !missing.is_empty() {
            match below {
                Some(below) => reply.absent.push(IdsWithoutTrade {
                    ids: missing,
                    below_us: below.trade_time_us(),
                    above_us: row.trade_time_us(),
                }),
                None => reply.silent.push(missing),
            }
        }
        let ids = row.first_id().max(*asked.start())..=row.last_id().min(*asked.end());
        if !ids.is_empty() {
            match row {
                AskedTrade::Found(trade) => reply.found.push(*trade),
                AskedTrade::Refused(trade) => reply.refused.push(*trade),
                AskedTrade::Merged { .. } => reply.note_merged(ids),
            }
        }
        next_id = next_id.max(row.last_id() + 1);
        below = Some(row);
    }
    // A row beyond the end, where there is one, proves what lies before it.
    if let Some(beyond) = rows.iter().find(|row| row.first_id() > asked.end() + 1)
        && let Some(below) = below
        && next_id <= *asked.end()
    {
        reply.absent.push(IdsWithoutTrade {
            ids: next_id..=*asked.end(),
            below_us: below.trade_time_us(),
            above_us: beyond.trade_time_us(),
        });
        next_id = asked.end() + 1;
    }
    if next_id <= *asked.end() {
        reply.silent.push(next_id..=*asked.end());
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(ids: impl IntoIterator<Item = i64>) -> Vec<AskedTrade> {
        let trade = |trade_id| {
            AskedTrade::Found(Trade {
                trade_id,
                price: "1".parse().unwrap(),
                quantity: "1".parse().unwrap(),
                trade_time_us: trade_id * 10,
                event_time_us: 0,
                received_time_us: 0,
                buyer_is_maker: false,
            })
        };
        ids.into_iter().map(trade).collect()
    }

    fn sorted_out(
        asked: RangeInclusive<i64>,
        ids: impl IntoIterator<Item = i64>,
    ) -> (Vec<i64>, Vec<RangeInclusive<i64>>, Vec<RangeInclusive<i64>>) {
        let reply = sort_out(&asked, &rows(ids));
        for absent in &reply.absent {
            assert!(absent.below_us < absent.above_us, "{absent:?}");
        }
        (
            reply.found.iter().map(|trade| trade.trade_id).collect(),
            reply.absent.into_iter().map(|absent| absent.ids).collect(),
            reply.silent,
        )
    }

    #[test]
    fn a_full_answer_leaves_nothing_open() {
        assert_eq!(sorted_out(5..=7, 4..=9), (vec![5, 6, 7], vec![], vec![]));
        assert_eq!(sorted_out(5..=7, 4..=7), (vec![5, 6, 7], vec![], vec![]));
    }

    #[test]
    fn ids_between_two_rows_are_absent() {
        assert_eq!(sorted_out(5..=9, [4, 6, 9, 10]), (vec![6, 9], vec![5..=5, 7..=8], vec![]));
        assert_eq!(sorted_out(5..=9, [4, 6, 12]), (vec![6], vec![5..=5, 7..=9], vec![]));
        assert_eq!(sorted_out(5..=9, [4, 10]), (vec![], vec![5..=9], vec![]));
        assert_eq!(sorted_out(5..=9, [4, 30]), (vec![], vec![5..=9], vec![]));
    }

    #[test]
    fn a_trade_that_cannot_be_held_is_neither_absent_nor_silent() {
        let mut rows = rows([4, 5, 6, 7]);
        let reason = market::RefusalReason::TooLarge;
        let refused = RefusedTrade { trade_id: 6, trade_time_us: 60, reason };
        rows[2] = AskedTrade::Refused(refused);
        let reply = sort_out(&(5..=7), &rows);
        assert_eq!(reply.refused, [refused]);
        assert_eq!(reply.found.iter().map(|trade| trade.trade_id).collect::<Vec<_>>(), [5, 7]);
        assert_eq!((reply.absent, reply.silent), (vec![], vec![]));
    }

    #[test]
    fn trades_that_are_told_together_are_neither_absent_nor_silent() {
        let merged =
            |first_id, last_id| AskedTrade::Merged { first_id, last_id, trade_time_us: last_id * 10 };
        let single = |id| rows([id])[0];
        let reply = sort_out(
            &(5..=12),
            &[merged(3, 5), merged(6, 6), single(7), merged(8, 9), single(11), merged(12, 15)],
        );
        assert_eq!(reply.found.iter().map(|trade| trade.trade_id).collect::<Vec<_>>(), [7, 11]);
        assert_eq!(reply.merged, [5..=6, 8..=9, 12..=12]);
        assert_eq!(reply.absent, [IdsWithoutTrade { ids: 10..=10, below_us: 90, above_us: 110 }]);
        assert_eq!(reply.silent, []);
    }

    #[test]
    fn an_answer_that_begins_above_the_ids_proves_nothing_of_them() {
        assert_eq!(sorted_out(5..=9, [7, 8, 9, 10]), (vec![7, 8, 9], vec![], vec![5..=6]));
        assert_eq!(sorted_out(5..=9, [30, 31]), (vec![], vec![], vec![5..=9]));
        assert_eq!(sorted_out(5..=9, []), (vec![], vec![], vec![5..=9]));
    }

    #[test]
    fn an_answer_that_ends_below_the_ids_proves_nothing_of_them() {
        assert_eq!(sorted_out(5..=9, [4, 5, 6]), (vec![5, 6], vec![], vec![7..=9]));
        assert_eq!(sorted_out(5..=9, [4]), (vec![], vec![], vec![5..=9]));
    }
}
