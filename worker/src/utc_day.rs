//! Days as exchanges count them: from midnight to midnight, UTC.

use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

const DAY_US: i64 = 86_400_000_000;

/// From the first microsecond of `day` to the first of the next: since 1970.
pub(crate) fn day_span_us(day: Date) -> Range<i64> {
    let midnight = day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp());
    let start_us = midnight.as_microsecond();
    start_us..start_us.saturating_add(DAY_US)
}

/// The day of a moment in microseconds since 1970; of one beyond the calendar, its first day.
pub(crate) fn day_of_us(time_us: i64) -> Date {
    let time = Timestamp::from_microsecond(time_us).unwrap_or(Timestamp::MIN);
    Offset::UTC.to_datetime(time).date()
}

/// Every day from `first` to `last`, both included.
pub(crate) fn days(first: Date, last: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(first), |day| day.tomorrow().ok()).take_while(move |day| *day <= last)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        let span = day_span_us(date(2026, 1, 1));
        assert_eq!(span, 1_767_225_600_000_000..1_767_312_000_000_000);
        assert_eq!(day_of_us(span.start), date(2026, 1, 1));
        assert_eq!(day_of_us(span.start - 1), date(2025, 12, 31));
        assert_eq!(day_of_us(span.end - 1), date(2026, 1, 1));
    }

    #[test]
    fn both_ends_are_among_the_days() {
        let found: Vec<Date> = days(date(2026, 2, 27), date(2026, 3, 1)).collect();
        assert_eq!(found, [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)]);
        assert_eq!(days(date(2026, 3, 1), date(2026, 2, 1)).count(), 0);
    }
}
