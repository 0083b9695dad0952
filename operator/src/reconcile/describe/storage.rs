//! How much room the tables take, since when what is kept in them, and whether that is more than the spec allows.

use crds::condition::Reason;
use crds::status::StorageStatus;
use crds::worker_status::DatabaseRoomStatus;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Findings, Verdict};
use crate::reconcile::observe::WorkerReports;

/// From so many percent of the limit on somebody should act.
const NEAR_PERCENT: i64 = 80;

/// `None` where the spec sets no limit.
pub(super) fn storage_within_limit(findings: &Findings<'_>) -> Option<Verdict> {
    let database = findings.pipeline.spec.database.as_ref()?;
    let limit = database.storage_limit.as_ref()?;
    let limit_bytes = limit.bytes()?;
    // While no aggregator answers nothing is written either.
    let Some(bytes) = storage(findings).map(|storage| storage.bytes) else {
        let message = "no aggregator has told how much room the tables take";
        return Some(Verdict::unknown(Reason::WorkersNotAnswering, message));
    };
    let percent = i128::from(bytes) * 100 / i128::from(limit_bytes);
    let taken = format!("the tables take {} of {limit} ({percent} %)", text(bytes));
    let cure = "raise database.storageLimit, or keep less: database.retention, aggregation.storeTrades";
    Some(if bytes >= limit_bytes {
        Verdict::no(Reason::StorageLimitReached, format!("{taken}: {cure}"))
    } else if percent >= i128::from(NEAR_PERCENT) {
        Verdict::no(Reason::StorageNearLimit, format!("{taken}: {cure}"))
    } else {
        Verdict::yes(Reason::StorageSufficient, taken)
    })
}

/// As it was told last.
pub(super) fn storage(findings: &Findings<'_>) -> Option<StorageStatus> {
    let Some(room) = room(findings) else {
        return findings.pipeline.status.as_ref()?.storage.clone();
    };
    let time = |time_us: Option<i64>| Timestamp::from_microsecond(time_us?).ok().map(Time);
    Some(StorageStatus {
        bytes: to_two_digits(signed(room.schema_bytes)),
        trades_kept_since: time(room.trades_kept_since_us),
        candles_kept_since: time(room.candles_kept_since_us),
    })
}

/// By the aggregator that has the first partition. While it is handed over, two may tell.
fn room<'a>(findings: &'a Findings<'_>) -> Option<&'a DatabaseRoomStatus> {
    let reports = findings.observed.workers.value();
    let aggregators = reports.into_iter().flat_map(WorkerReports::answered_aggregators);
    aggregators
        .filter_map(|aggregator| aggregator.database_room.as_ref())
        .max_by_key(|room| room.schema_bytes)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Every byte more would be a status to write.
fn to_two_digits(bytes: i64) -> i64 {
    let mut unit = 1;
    while bytes / unit >= 100 {
        unit *= 10;
    }
    bytes / unit * unit
}

/// Such as `84 GB`, of a size that is told to two digits.
fn text(bytes: i64) -> String {
    let mut rest = bytes;
    let mut tenths = 0;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while rest >= 1_000 {
        tenths = rest / 100 % 10;
        rest /= 1_000;
        unit = units.next().unwrap_or_default();
    }
    if rest < 10 && tenths > 0 { format!("{rest}.{tenths} {unit}") } else { format!("{rest} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::{text, to_two_digits};

    #[test]
    fn sizes_are_told_to_two_digits() {
        for (bytes, rounded, told) in [
            (0, 0, "0 B"),
            (99, 99, "99 B"),
            (1_049, 1_000, "1 kB"),
            (8_493_056, 8_400_000, "8.4 MB"),
            (84_930_560_000, 84_000_000_000, "84 GB"),
            (107_374_182_400, 100_000_000_000, "100 GB"),
            (i64::MAX, 9_200_000_000_000_000_000, "9.2 EB"),
        ] {
            assert_eq!((to_two_digits(bytes), text(rounded).as_str()), (rounded, told));
        }
    }
}
