//! Recordings of different days, played side by side.
//!
//! Logs that overlap, or begin on the same day, are one session and keep their distance in time. A session that
//! begins later than the first one does not wait for months: its clock is ahead by whole minutes.

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 1_440 * MINUTE_US;

/// By how much the clock of each log is ahead of the first session's: whole minutes, in microseconds. The logs
/// are given by the times of their first and, where that is known, last trade.
pub(crate) fn clocks_ahead_us(spans: &[(i64, Option<i64>)]) -> Vec<i64> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|at| spans[*at].0);
    let mut ahead_us = vec![0; spans.len()];
    let Some(first) = order.first() else { return ahead_us };
    let first_start_us = spans[*first].0;
    let (mut session_start_us, mut session_end_us) = (first_start_us, first_start_us);
    for at in order {
        let (start_us, end_us) = spans[at];
        let is_later_day = start_us.div_euclid(DAY_US) > session_start_us.div_euclid(DAY_US);
        if start_us > session_end_us && is_later_day {
            session_start_us = start_us;
        }
        session_end_us = session_end_us.max(end_us.unwrap_or(start_us));
        ahead_us[at] = minute_of(session_start_us) - minute_of(first_start_us);
    }
    ahead_us
}

fn minute_of(time_us: i64) -> i64 {
    time_us - time_us.rem_euclid(MINUTE_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_US: i64 = 1_741_046_401_271_497;

    #[test]
    fn logs_of_one_day_and_overlapping_ones_keep_their_distance() {
        let hour_us = 60 * MINUTE_US;
        let spans = [
            (START_US + 2 * hour_us, Some(START_US + 3 * hour_us)),
            (START_US, Some(START_US + hour_us)),
            (START_US + 5, Some(START_US + 40 * hour_us)),
            (START_US + 39 * hour_us, None),
        ];
        assert_eq!(clocks_ahead_us(&spans), [0, 0, 0, 0]);
    }

    #[test]
    fn a_log_of_a_later_day_is_ahead_by_whole_minutes() {
        let spans = [
            (START_US + 300 * DAY_US + 7, None),
            (START_US, Some(START_US + 5)),
            (START_US + 300 * DAY_US, None),
        ];
        assert_eq!(clocks_ahead_us(&spans), [300 * DAY_US, 0, 300 * DAY_US]);
        assert_eq!(clocks_ahead_us(&[]), [0; 0]);
    }
}
