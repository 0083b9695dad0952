//! A candle of price samples: what a market's price was in a window, as far as it was looked at.

use crate::{Fixed8, Overflow, Sample};

/// The samples of one window. Merging two of them is exact, and never depends on an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleCandle {
    /// Where the window opens: microseconds since 1970, UTC.
    pub open_time_us: i64,
    /// The price of the earliest sample.
    pub open: Fixed8,
    /// The highest price.
    pub high: Fixed8,
    /// The lowest price.
    pub low: Fixed8,
    /// The price of the latest sample.
    pub close: Fixed8,
    /// All prices together.
    pub price_sum: Fixed8,
    /// How many samples.
    pub sample_count: i64,
    /// When the earliest sample was: microseconds since 1970, UTC.
    pub first_time_us: i64,
    /// When the latest sample was: microseconds since 1970, UTC.
    pub last_time_us: i64,
}

impl SampleCandle {
    /// The candle of one sample, in the window that opens at `open_time_us`.
    #[must_use]
    pub const fn of_sample(sample: Sample, open_time_us: i64) -> Self {
        let Sample { time_us, price } = sample;
        Self {
            open_time_us,
            open: price,
            high: price,
            low: price,
            close: price,
            price_sum: price,
            sample_count: 1,
            first_time_us: time_us,
            last_time_us: time_us,
        }
    }

    /// This candle and `other`, whose samples are of other times in the same window. Commutative and associative.
    /// The open time stays that of `self`.
    ///
    /// # Errors
    /// [`Overflow`] where a sum does not fit.
    pub fn merge(self, other: &Self) -> Result<Self, Overflow> {
        Ok(Self {
            open_time_us: self.open_time_us,
            open: if other.first_time_us < self.first_time_us { other.open } else { self.open },
            high: self.high.max(other.high),
            low: self.low.min(other.low),
            close: if other.last_time_us > self.last_time_us { other.close } else { self.close },
            price_sum: self.price_sum.checked_add(other.price_sum)?,
            sample_count: self.sample_count.checked_add(other.sample_count).ok_or(Overflow)?,
            first_time_us: self.first_time_us.min(other.first_time_us),
            last_time_us: self.last_time_us.max(other.last_time_us),
        })
    }

    /// The mean price of the samples, half-even to 8 decimals. Samples count alike, however far apart they are.
    #[must_use]
    pub fn average(&self) -> Fixed8 {
        self.price_sum.mean_of(self.sample_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tickers;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merge_is_commutative_and_associative(batch in tickers(3)) {
            let [a, b, c] = [0, 1, 2].map(|index| SampleCandle::of_sample(batch[index].sample(), 0));
            prop_assert_eq!(a.merge(&b).unwrap(), b.merge(&a).unwrap());
            prop_assert_eq!(a.merge(&b).unwrap().merge(&c).unwrap(), a.merge(&b.merge(&c).unwrap()).unwrap());
        }

        #[test]
        fn the_average_lies_between_low_and_high(batch in tickers(7)) {
            let candles = batch.iter().map(|ticker| SampleCandle::of_sample(ticker.sample(), 0));
            let candle = candles.reduce(|left, right| left.merge(&right).unwrap()).unwrap();
            prop_assert_eq!(candle.sample_count, 7);
            prop_assert!(candle.low <= candle.average() && candle.average() <= candle.high);
        }
    }
}
