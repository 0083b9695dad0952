//! Exact decimals: prices and quantities have 8 decimals, their products and sums 16.
//!
//! A number is an `i128` count of units of 10^-SCALE. Nothing here rounds: text with more
//! decimals than fit, and results that leave the range of the database columns, are errors.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Digits before the decimal point that every column holds: NUMERIC(38,16) has 38 - 16.
const INTEGER_DIGITS: u32 = 22;

/// A price or a quantity: 8 decimals.
pub type Fixed8 = Fixed<8>;

/// A product of price and quantity, or a sum of such products: 16 decimals.
pub type Fixed16 = Fixed<16>;

/// A decimal with exactly `SCALE` decimals and a magnitude below 10^22.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fixed<const SCALE: u32>(i128);

/// The result does not fit the 22 integer digits that the columns hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the result has more than {INTEGER_DIGITS} digits before the decimal point")]
pub struct Overflow;

/// Why a text is not a decimal of this scale.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFixedError {
    /// Something else than an optional sign, digits and at most one point.
    #[error("{0:?} is not a decimal number")]
    NotANumber(String),
    /// A digit other than zero stands beyond the last decimal kept; it is not cut off.
    #[error("{text:?} has more than {scale} decimals")]
    TooManyDecimals {
        /// The text that was to be read.
        text: String,
        /// The decimals there are.
        scale: u32,
    },
    /// More than 22 digits before the point.
    #[error("{0:?} has more than {INTEGER_DIGITS} digits before the decimal point")]
    TooLarge(String),
}

impl<const SCALE: u32> Fixed<SCALE> {
    /// Zero.
    pub const ZERO: Self = Self(0);
    const ONE_IN_UNITS: i128 = 10_i128.pow(SCALE);
    const LIMIT_IN_UNITS: i128 = 10_i128.pow(INTEGER_DIGITS + SCALE);

    /// The number that is `units` times 10^-SCALE.
    ///
    /// # Errors
    /// [`Overflow`] where the magnitude is 10^22 or more.
    pub const fn from_units(units: i128) -> Result<Self, Overflow> {
        if units > -Self::LIMIT_IN_UNITS && units < Self::LIMIT_IN_UNITS {
            Ok(Self(units))
        } else {
            Err(Overflow)
        }
    }

    /// This number as a count of 10^-SCALE.
    #[must_use]
    pub const fn units(self) -> i128 {
        self.0
    }

    /// Whether this number is above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// How many decimals it has without the zeros at its end.
    #[must_use]
    pub const fn decimals(self) -> u32 {
        let (mut units, mut decimals) = (self.0, SCALE);
        while decimals > 0 && units % 10 == 0 {
            units /= 10;
            decimals -= 1;
        }
        decimals
    }

    /// The sum.
    ///
    /// # Errors
    /// [`Overflow`] where it does not fit.
    pub const fn checked_add(self, other: Self) -> Result<Self, Overflow> {
        // Both are below 10^38, so the sum cannot leave an i128 (1.7 * 10^38) unseen.
        match self.0.checked_add(other.0) {
            Some(units) => Self::from_units(units),
            None => Err(Overflow),
        }
    }

    /// The difference of two numbers that are not negative; `None` where it would be.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        if other.0 <= self.0 { Some(Self(self.0 - other.0)) } else { None }
    }
}

impl Fixed8 {
    /// This sum of `count` numbers divided by their count, half-even to 8 decimals; the sum itself where there are none.
    #[must_use]
    pub fn mean_of(self, count: i64) -> Self {
        Self::mean_of_units(self.0, count)
    }

    /// [`Self::mean_of`], of a sum in units that need not be a number that fits.
    pub(crate) fn mean_of_units(sum: i128, count: i64) -> Self {
        if count <= 0 {
            return Self(sum);
        }
        let count = i128::from(count);
        let (below, rest) = (sum.div_euclid(count), sum.rem_euclid(count));
        // The rest is below 2^63, so twice of it fits.
        let is_above_half = 2 * rest > count || (2 * rest == count && below % 2 != 0);
        Self(below + i128::from(is_above_half))
    }

    /// The exact product, with 16 decimals.
    ///
    /// # Errors
    /// [`Overflow`] where it does not fit.
    pub const fn checked_mul(self, other: Self) -> Result<Fixed16, Overflow> {
        match self.0.checked_mul(other.0) {
            Some(units) => Fixed16::from_units(units),
            None => Err(Overflow),
        }
    }
}

impl<const SCALE: u32> FromStr for Fixed<SCALE> {
    type Err = ParseFixedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let not_a_number = || ParseFixedError::NotANumber(text.to_owned());
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, decimals) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        if integer.is_empty() || (decimals.is_empty() && unsigned.len() > integer.len()) {
            return Err(not_a_number());
        }
        let (kept, beyond) = decimals.split_at_checked(SCALE as usize).unwrap_or((decimals, ""));
        if !beyond.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(not_a_number());
        }
        if beyond.bytes().any(|digit| digit != b'0') {
            return Err(ParseFixedError::TooManyDecimals { text: text.to_owned(), scale: SCALE });
        }
        let integer_units = read_digits(integer).ok_or_else(not_a_number)?;
        let decimal_units = read_digits(kept).ok_or_else(not_a_number)?;
        let missing_decimals = SCALE - u32::try_from(kept.len()).unwrap_or(SCALE);
        let units = i128::try_from(integer_units)
            .ok()
            .and_then(|integer| integer.checked_mul(Self::ONE_IN_UNITS))
            .and_then(|integer| {
                integer.checked_add(i128::try_from(decimal_units).ok()? * 10_i128.pow(missing_decimals))
            })
            .ok_or_else(|| ParseFixedError::TooLarge(text.to_owned()))?;
        Self::from_units(if negative { -units } else { units })
            .map_err(|Overflow| ParseFixedError::TooLarge(text.to_owned()))
    }
}

/// The value of a run of ASCII digits; `None` where another character stands in it. What does
/// not fit saturates, and is too large in the eyes of the caller.
fn read_digits(digits: &str) -> Option<u128> {
    digits.bytes().try_fold(0_u128, |value, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| value.saturating_mul(10).saturating_add(u128::from(digit)))
    })
}

impl<const SCALE: u32> fmt::Display for Fixed<SCALE> {
    /// Without trailing zeros, or with at least as many decimals as the format asks for
    /// (`{:.8}`). A precision never rounds: decimals that are there are always printed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let one = Self::ONE_IN_UNITS.unsigned_abs();
        let (integer, mut decimals) = (magnitude / one, magnitude % one);
        let mut width = SCALE as usize;
        let wanted = formatter.precision().unwrap_or(0).min(width);
        while width > wanted && decimals.is_multiple_of(10) {
            decimals /= 10;
            width -= 1;
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        if width == 0 {
            write!(formatter, "{sign}{integer}")
        } else {
            write!(formatter, "{sign}{integer}.{decimals:0width$}")
        }
    }
}

impl<const SCALE: u32> fmt::Debug for Fixed<SCALE> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl From<Fixed8> for Fixed16 {
    fn from(number: Fixed8) -> Self {
        // Below 10^22 by construction, so the wider scale cannot overflow.
        Self(number.0 * 100_000_000)
    }
}

impl<const SCALE: u32> Serialize for Fixed<SCALE> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const SCALE: u32> Deserialize<'de> for Fixed<SCALE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const SCALE: u32>;
        impl<const SCALE: u32> de::Visitor<'_> for Text<SCALE> {
            type Value = Fixed<SCALE>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a decimal as text, at most {SCALE} decimals")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixed8(text: &str) -> Fixed8 {
        text.parse().unwrap()
    }

    #[test]
    fn reads_what_exchanges_send() {
        assert_eq!(fixed8("94250.15000000").units(), 9_425_015_000_000);
        assert_eq!(fixed8("0.00000001").units(), 1);
        assert_eq!(fixed8("-12.5").units(), -1_250_000_000);
        assert_eq!(fixed8("7").units(), 700_000_000);
        assert_eq!(fixed8("1.000000000000").units(), 100_000_000);
        assert_eq!(fixed8("9999999999999999999999.99999999").to_string(), "9999999999999999999999.99999999");
    }

    #[test]
    fn decimals_do_not_count_the_zeros_at_the_end() {
        let decimals =
            ["0", "100", "0.1", "0.01000000", "-12.5", "0.00000001"].map(|text| fixed8(text).decimals());
        assert_eq!(decimals, [0, 0, 1, 2, 1, 8]);
    }

    #[test]
    fn refuses_what_it_cannot_hold_exactly() {
        assert!(matches!("0.123456789".parse::<Fixed8>(), Err(ParseFixedError::TooManyDecimals { .. })));
        for too_large in ["10000000000000000000000", &"9".repeat(60)] {
            assert!(matches!(too_large.parse::<Fixed8>(), Err(ParseFixedError::TooLarge(_))), "{too_large}");
        }
        for not_a_number in [
            "",
            ".",
            "-",
            ".5",
            "5.",
            "1e5",
            "+1",
            "1,5",
            " 1",
            "1.2.3",
            "--1",
            "0x1",
            "NaN",
            "1.00000000x",
            "١",
        ] {
            assert!(
                matches!(not_a_number.parse::<Fixed8>(), Err(ParseFixedError::NotANumber(_))),
                "{not_a_number:?}"
            );
        }
    }

    #[test]
    fn prints_all_decimals_and_pads_on_request() {
        assert_eq!(fixed8("0.23120000").to_string(), "0.2312");
        assert_eq!(format!("{:.8}", fixed8("0.2312")), "0.23120000");
        assert_eq!(format!("{:.2}", fixed8("0.2312")), "0.2312");
        assert_eq!(fixed8("-0.5").to_string(), "-0.5");
    }

    #[test]
    fn means_are_rounded_half_even() {
        let mean = |sum: &str, count| fixed8(sum).mean_of(count).to_string();
        assert_eq!(mean("10", 4), "2.5");
        assert_eq!(mean("1", 3), "0.33333333");
        assert_eq!(mean("2", 3), "0.66666667");
        assert_eq!(
            ["0.00000001", "0.00000003", "-0.00000001", "-0.00000003"].map(|sum| mean(sum, 2)),
            ["0", "0.00000002", "0", "-0.00000002"]
        );
        assert_eq!(mean("9999999999999999999999.99999999", i64::MAX), "1084.20217249");
    }

    #[test]
    fn overflow_is_an_error_never_a_wrong_number() {
        let largest = fixed8("9999999999999999999999.99999999");
        assert_eq!(largest.checked_mul(largest), Err(Overflow));
        assert_eq!(largest.checked_add(fixed8("0.00000001")), Err(Overflow));
        let sum = Fixed16::from(largest);
        assert_eq!(sum.checked_add(sum), Err(Overflow));
    }

    proptest! {
        #[test]
        fn text_and_units_are_the_same_number(units in -10_i128.pow(30) + 1..10_i128.pow(30)) {
            let number = Fixed8::from_units(units).unwrap();
            prop_assert_eq!(number.to_string().parse::<Fixed8>().unwrap(), number);
            prop_assert_eq!(format!("{number:.8}").parse::<Fixed8>().unwrap(), number);
        }

        #[test]
        fn reading_any_text_never_panics(text in ".{0,60}") {
            let _ = text.parse::<Fixed8>();
            let _ = text.parse::<Fixed16>();
        }

        #[test]
        fn products_are_exact(left in -10_i64.pow(15)..10_i64.pow(15), right in -10_i64.pow(15)..10_i64.pow(15)) {
            let product = Fixed8::from_units(left.into()).unwrap().checked_mul(Fixed8::from_units(right.into()).unwrap());
            prop_assert_eq!(product.unwrap().units(), i128::from(left) * i128::from(right));
        }
    }
}
