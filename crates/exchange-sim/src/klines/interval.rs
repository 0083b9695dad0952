//! The exchange's candle intervals, weeks and months included, in any time zone.

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// One of the exchange's intervals; its windows begin at midnight of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    name: &'static str,
    span: Span,
    utc_offset_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    /// Windows of this length; one of them begins at `origin_us`.
    Fixed {
        length_us: i64,
        origin_us: i64,
    },
    Month,
}

const fn fixed(name: &'static str, length_us: i64, origin_us: i64) -> (&'static str, Span) {
    (name, Span::Fixed { length_us, origin_us })
}

const INTERVALS: [(&str, Span); 16] = [
    fixed("1s", SECOND_US, 0),
    fixed("1m", MINUTE_US, 0),
    fixed("3m", 3 * MINUTE_US, 0),
    fixed("5m", 5 * MINUTE_US, 0),
    fixed("15m", 15 * MINUTE_US, 0),
    fixed("30m", 30 * MINUTE_US, 0),
    fixed("1h", HOUR_US, 0),
    fixed("2h", 2 * HOUR_US, 0),
    fixed("4h", 4 * HOUR_US, 0),
    fixed("6h", 6 * HOUR_US, 0),
    fixed("8h", 8 * HOUR_US, 0),
    fixed("12h", 12 * HOUR_US, 0),
    fixed("1d", DAY_US, 0),
    fixed("3d", 3 * DAY_US, 0),
    // The first Monday after 1970-01-01, which was a Thursday.
    fixed("1w", 7 * DAY_US, 4 * DAY_US),
    ("1M", Span::Month),
];

impl Interval {
    /// The interval of that name, e.g. `1m` or `1M`, in UTC.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (name, span) = INTERVALS.into_iter().find(|(known, _)| *known == name)?;
        Some(Self { name, span, utc_offset_us: 0 })
    }

    /// The same interval with windows from midnight of a zone that is `utc_offset_minutes` ahead of UTC.
    pub(crate) fn in_zone(self, utc_offset_minutes: i64) -> Self {
        Self { utc_offset_us: utc_offset_minutes * MINUTE_US, ..self }
    }

    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// When the window that holds `time_us` opens.
    pub(crate) fn open_us(self, time_us: i64) -> i64 {
        let local_us = time_us + self.utc_offset_us;
        let local_open_us = match self.span {
            Span::Fixed { length_us, origin_us } => local_us - (local_us - origin_us).rem_euclid(length_us),
            Span::Month => start_of_month(local_us, 0),
        };
        local_open_us - self.utc_offset_us
    }

    /// When the window that holds `time_us` ends and the next one opens.
    pub(crate) fn end_us(self, time_us: i64) -> i64 {
        match self.span {
            Span::Fixed { length_us, .. } => self.open_us(time_us) + length_us,
            Span::Month => start_of_month(time_us + self.utc_offset_us, 1) - self.utc_offset_us,
        }
    }

    /// When the first window opens that does not open before `time_us`.
    pub(crate) fn first_open_at_or_after(self, time_us: i64) -> i64 {
        let open_us = self.open_us(time_us);
        if open_us == time_us { open_us } else { self.end_us(time_us) }
    }
}

/// Midnight of the first day of the month of `time_us`, or of a month after it. Times that no calendar holds
/// are the first of 1970.
fn start_of_month(time_us: i64, months_later: i64) -> i64 {
    let first = Timestamp::from_microsecond(time_us)
        .map(|timestamp| Offset::UTC.to_datetime(timestamp).date().first_of_month())
        .unwrap_or_else(|_| Date::constant(1970, 1, 1));
    first
        .checked_add(months_later.months())
        .and_then(|date| Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)))
        .map_or(0, Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn window(name: &str, zone_minutes: i64, time: &str) -> (i64, i64) {
        let interval = Interval::named(name).unwrap().in_zone(zone_minutes);
        (interval.open_us(us(time)), interval.end_us(us(time)))
    }

    #[test]
    fn windows_begin_where_the_exchange_begins_them() {
        for (name, zone_minutes, time, open, end) in [
            ("1m", 0, "2026-01-01T00:00:59.999999Z", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
            ("1d", 0, "2026-01-01T23:59:59Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("1d", 480, "2026-01-01T23:59:59Z", "2026-01-01T16:00:00Z", "2026-01-02T16:00:00Z"),
            ("1w", 0, "2026-01-01T12:00:00Z", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"),
            ("1M", 0, "2026-02-10T12:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("1M", 480, "2026-01-31T16:00:00Z", "2026-01-31T16:00:00Z", "2026-02-28T16:00:00Z"),
            ("1M", -480, "2026-01-01T07:59:59Z", "2025-12-01T08:00:00Z", "2026-01-01T08:00:00Z"),
        ] {
            assert_eq!(window(name, zone_minutes, time), (us(open), us(end)), "{name} {zone_minutes} {time}");
        }
    }

    #[test]
    fn knows_the_sixteen_names_only() {
        assert_eq!(Interval::named("1M").map(Interval::name), Some("1M"));
        for name in ["", "7m", "1", "60s", "1Y", "1H"] {
            assert_eq!(Interval::named(name), None, "{name}");
        }
    }
}
