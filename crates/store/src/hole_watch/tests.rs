use std::collections::BTreeMap;

use super::*;

/// What a [`LedgerLook`] borrows.
#[derive(Clone)]
struct Looks {
    ledgers: Vec<MarketLedger>,
    positions: Vec<PartitionPosition>,
    read_at: Timestamp,
    ends: Vec<i64>,
    ends_at: Timestamp,
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn market(symbol: &str) -> Market {
    Market::new("binance", symbol)
}

fn ledger(symbol: &str, missing: i64, holes: &[(i64, i64)]) -> MarketLedger {
    MarketLedger {
        missing,
        holes: holes.iter().map(|&(first_id, last_id)| Hole { first_id, last_id }).collect(),
        ..MarketLedger::of(market(symbol))
    }
}

/// Both looks at the same second: the ends of the partitions, how far each is read, and the ledgers.
fn looks(at: i64, ends: &[i64], read: &[i64], ledgers: &[MarketLedger]) -> Looks {
    let positions = (0..).zip(read).map(|(partition, next_offset)| PartitionPosition {
        partition,
        topic_id: "t".to_owned(),
        next_offset: *next_offset,
        records_read: 0,
        trades_new: 0,
        trades_duplicate: 0,
        records_set_aside: 0,
    });
    Looks {
        ledgers: ledgers.to_vec(),
        positions: positions.collect(),
        read_at: second(at),
        ends: ends.to_vec(),
        ends_at: second(at),
    }
}

/// What is told of each of these looks, each at its own second.
fn report(looks_in_order: &[(i64, Looks)]) -> HoleReport {
    let mut watch = HoleWatch::default();
    let mut last = None;
    for (now, Looks { ledgers, positions, read_at, ends, ends_at }) in looks_in_order {
        let look = LedgerLook { ledgers, positions, read_at: *read_at, ends: Some((ends, *ends_at)) };
        last = Some(watch.update(&look, second(*now)));
    }
    last.unwrap()
}

fn missing(looks_in_order: &[(i64, Looks)]) -> i64 {
    report(looks_in_order).missing.values().map(|missing| missing.trades).sum()
}

#[test]
fn a_hole_counts_five_seconds_after_every_partition_has_passed_the_ends_seen_with_it() {
    let hole = [ledger("A", 3, &[(10, 12)])];
    let mut history = vec![
        (0, looks(0, &[5, 5], &[5, 2], &hole)),
        // The first look at the broker after the sighting: these are the ends to pass.
        (1, looks(1, &[6, 8], &[6, 4], &hole)),
        (2, looks(2, &[9, 9], &[7, 7], &hole)),
    ];
    let waiting = HoleReport { missing: BTreeMap::new(), unconfirmed: BTreeMap::from([(market("A"), 3)]) };
    assert_eq!(report(&history), waiting, "partition 1 has not passed 8");
    history.push((3, looks(3, &[9, 9], &[7, 8], &hole)));
    history.push((7, looks(7, &[9, 9], &[9, 9], &hole)));
    assert_eq!(report(&history), waiting, "passed at 3, so not before 8");
    history.push((8, looks(8, &[9, 9], &[9, 9], &hole)));
    let counted = Missing { trades: 3, holes: vec![Hole { first_id: 10, last_id: 12 }] };
    let counted = BTreeMap::from([(market("A"), counted)]);
    assert_eq!(report(&history), HoleReport { missing: counted, unconfirmed: BTreeMap::new() });
}

#[test]
fn the_ends_come_from_a_look_that_began_after_the_hole_was_seen() {
    let hole = [ledger("A", 3, &[(10, 12)])];
    let mut stale = looks(5, &[5, 5], &[5, 5], &hole);
    stale.ends_at = second(4);
    let history = [(5, stale.clone()), (20, stale)];
    assert_eq!(missing(&history), 0, "what was behind the older end is not known");
}

#[test]
fn what_is_left_of_a_hole_keeps_its_history() {
    let history = [
        (0, looks(0, &[5, 5], &[5, 5], &[ledger("A", 10, &[(10, 19)])])),
        (1, looks(1, &[5, 5], &[5, 5], &[ledger("A", 10, &[(10, 19)])])),
        (9, looks(9, &[7, 7], &[6, 6], &[ledger("A", 9, &[(16, 19), (10, 14)])])),
    ];
    assert_eq!(missing(&history), 9);
}

#[test]
fn a_new_hole_waits_although_an_older_one_counts() {
    let history = [
        (0, looks(0, &[5, 5], &[5, 5], &[ledger("A", 1, &[(10, 10)])])),
        (1, looks(1, &[5, 5], &[5, 5], &[ledger("A", 1, &[(10, 10)])])),
        (9, looks(9, &[9, 9], &[9, 9], &[ledger("A", 3, &[(20, 21), (10, 10)]), ledger("B", 0, &[])])),
    ];
    assert_eq!(missing(&history), 1);
    let report = report(&history);
    assert_eq!(report.unconfirmed, BTreeMap::from([(market("A"), 2)]));
    assert_eq!(report.missing[&market("A")].holes, [Hole { first_id: 10, last_id: 10 }]);
}

#[test]
fn a_hole_that_opens_again_is_a_new_one() {
    let hole = [ledger("A", 1, &[(10, 10)])];
    let history = [
        (0, looks(0, &[5, 5], &[5, 5], &hole)),
        (1, looks(1, &[5, 5], &[5, 5], &hole)),
        (9, looks(9, &[5, 5], &[5, 5], &[ledger("A", 0, &[])])),
        (10, looks(10, &[5, 5], &[5, 5], &hole)),
    ];
    assert_eq!(report(&history).unconfirmed, BTreeMap::from([(market("A"), 1)]));
    assert_eq!(missing(&history), 0);
}

#[test]
fn an_empty_partition_has_nothing_to_wait_for() {
    let hole = [ledger("A", 1, &[(10, 10)])];
    let history = [
        (0, looks(0, &[5, 0], &[5], &hole)),
        (1, looks(1, &[5, 0], &[5], &hole)),
        (6, looks(6, &[5, 0], &[5], &hole)),
    ];
    assert_eq!(missing(&history), 1);
}
