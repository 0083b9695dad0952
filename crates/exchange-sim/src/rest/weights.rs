//! Request weight per address and minute: who asks too much is told to slow down, and then banned.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::config::Limits;

const MINUTE_US: i64 = 60_000_000;
const SECOND_US: i64 = 1_000_000;
/// The exchange's longest ban.
const LONGEST_BAN_US: i64 = 3 * 86_400 * SECOND_US;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted { used: u32 },
    SlowDown { used: u32, limit: u32, retry_after_seconds: u64 },
    Banned { used: u32, until_ms: i64, retry_after_seconds: u64 },
}

/// The weight that every address has used.
#[derive(Debug)]
pub(crate) struct WeightLimiter {
    limit: u32,
    warnings_before_ban: u32,
    first_ban_us: i64,
    accounts: Mutex<HashMap<IpAddr, Account>>,
    rate_limited: AtomicU64,
    banned: AtomicU64,
}

#[derive(Debug, Default)]
struct Account {
    minute: i64,
    used: u32,
    warnings: u32,
    bans: u32,
    banned_until_us: i64,
}

impl WeightLimiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.weight_per_minute,
            warnings_before_ban: limits.warnings_before_ban,
            first_ban_us: i64::try_from(limits.first_ban.as_micros()).unwrap_or(LONGEST_BAN_US),
            accounts: Mutex::default(),
            rate_limited: AtomicU64::new(0),
            banned: AtomicU64::new(0),
        }
    }

    /// The weight that an address may use in a minute.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Counts a request of `weight` from `address` at `now_us`.
    pub(super) fn spend(&self, address: IpAddr, weight: u32, now_us: i64) -> Verdict {
        let verdict = self.judge(address, weight, now_us);
        match verdict {
            Verdict::Admitted { .. } => {}
            Verdict::SlowDown { .. } => _ = self.rate_limited.fetch_add(1, Ordering::Relaxed),
            Verdict::Banned { .. } => _ = self.banned.fetch_add(1, Ordering::Relaxed),
        }
        verdict
    }

    /// How many requests were told to slow down.
    pub(crate) fn rate_limited(&self) -> u64 {
        self.rate_limited.load(Ordering::Relaxed)
    }

    /// How many requests were refused because of a ban.
    pub(crate) fn banned(&self) -> u64 {
        self.banned.load(Ordering::Relaxed)
    }

    fn judge(&self, address: IpAddr, weight: u32, now_us: i64) -> Verdict {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(address).or_default();
        let minute = now_us.div_euclid(MINUTE_US);
        if account.minute != minute {
            *account = Account { minute, used: 0, warnings: 0, ..*account };
        }
        if now_us < account.banned_until_us {
            return account.banned(now_us);
        }
        account.used = account.used.saturating_add(weight);
        if account.used <= self.limit {
            return Verdict::Admitted { used: account.used };
        }
        account.warnings += 1;
        if account.warnings > self.warnings_before_ban {
            let ban_us = self.first_ban_us.saturating_mul(1 << account.bans.min(20)).min(LONGEST_BAN_US);
            account.bans += 1;
            account.banned_until_us = now_us + ban_us;
            return account.banned(now_us);
        }
        Verdict::SlowDown {
            used: account.used,
            limit: self.limit,
            retry_after_seconds: seconds_until((minute + 1) * MINUTE_US, now_us),
        }
    }
}

impl Account {
    fn banned(&self, now_us: i64) -> Verdict {
        Verdict::Banned {
            used: self.used,
            until_ms: self.banned_until_us / 1_000,
            retry_after_seconds: seconds_until(self.banned_until_us, now_us),
        }
    }
}

/// Whole seconds, rounded up.
fn seconds_until(until_us: i64, now_us: i64) -> u64 {
    u64::try_from((until_us - now_us + SECOND_US - 1) / SECOND_US).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn limiter() -> WeightLimiter {
        WeightLimiter::new(&Limits {
            weight_per_minute: 100,
            warnings_before_ban: 2,
            first_ban: Duration::from_secs(120),
            ..Limits::default()
        })
    }

    #[test]
    fn a_new_minute_is_a_new_account() {
        let limiter = limiter();
        assert_eq!(limiter.spend(ADDRESS, 60, 0), Verdict::Admitted { used: 60 });
        assert_eq!(
            limiter.spend(ADDRESS, 60, 15 * SECOND_US),
            Verdict::SlowDown { used: 120, limit: 100, retry_after_seconds: 45 }
        );
        assert_eq!(limiter.spend(IpAddr::V4(Ipv4Addr::BROADCAST), 60, 0), Verdict::Admitted { used: 60 });
        assert_eq!(limiter.spend(ADDRESS, 60, MINUTE_US), Verdict::Admitted { used: 60 });
    }

    #[test]
    fn who_goes_on_after_warnings_is_banned_and_longer_each_time() {
        let limiter = limiter();
        for _ in 0..2 {
            assert!(matches!(limiter.spend(ADDRESS, 101, 0), Verdict::SlowDown { .. }));
        }
        assert_eq!(
            limiter.spend(ADDRESS, 101, 0),
            Verdict::Banned { used: 303, until_ms: 120_000, retry_after_seconds: 120 }
        );
        assert!(matches!(
            limiter.spend(ADDRESS, 1, 119 * SECOND_US),
            Verdict::Banned { retry_after_seconds: 1, .. }
        ));
        for _ in 0..2 {
            assert!(matches!(limiter.spend(ADDRESS, 101, 2 * MINUTE_US), Verdict::SlowDown { .. }));
        }
        assert!(matches!(
            limiter.spend(ADDRESS, 101, 2 * MINUTE_US),
            Verdict::Banned { retry_after_seconds: 240, .. }
        ));
    }
}
