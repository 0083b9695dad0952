//! Our integers as PostgreSQL's own binary types, so that nothing is rounded and nothing is parsed on the way.
//!
//! A `numeric` travels as base-10000 digits, and our scales of 8 and 16 are two and four of them, so a
//! fixed decimal and a `numeric` of the same scale are the same digits.

use market::Fixed;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// Microseconds from 1970, where ours begin, to 2000, where PostgreSQL's begin.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;
const DIGIT_BASE: u128 = 10_000;
/// Enough digits for any `i128`.
const MOST_DIGITS: usize = 12;

/// A time in microseconds since 1970, UTC, as `timestamptz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) i64);

impl Time {
    /// The 8 bytes of a binary `timestamptz`. Times that PostgreSQL has not (before 4713 BC) saturate.
    pub(super) const fn to_bytes(self) -> [u8; 8] {
        self.0.saturating_sub(POSTGRES_EPOCH_US).to_be_bytes()
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl PgHasArrayType for Time {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend(&self.to_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let bytes: [u8; 8] = binary(&value)?.try_into()?;
        Ok(Self(i64::from_be_bytes(bytes).saturating_add(POSTGRES_EPOCH_US)))
    }
}

/// A decimal as `numeric`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numeric<const SCALE: u32>(pub(super) Fixed<SCALE>);

impl<const SCALE: u32> Type<Postgres> for Numeric<SCALE> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1700))
    }
}

impl<const SCALE: u32> PgHasArrayType for Numeric<SCALE> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1231))
    }
}

impl<const SCALE: u32> Encode<'_, Postgres> for Numeric<SCALE> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let mut bytes = Vec::with_capacity(8 + 2 * MOST_DIGITS);
        put_numeric(self.0, &mut bytes);
        buffer.extend(&bytes);
        Ok(IsNull::No)
    }
}

impl<const SCALE: u32> Decode<'_, Postgres> for Numeric<SCALE> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(read_numeric(binary(&value)?)?))
    }
}

fn binary<'value>(value: &PgValueRef<'value>) -> Result<&'value [u8], BoxDynError> {
    match value.format() {
        PgValueFormat::Binary => value.as_bytes(),
        PgValueFormat::Text => Err("expected a value in binary format".into()),
    }
}

/// Appends the binary form: number of digits, weight of the first, sign, decimals, digits.
pub(super) fn put_numeric<const SCALE: u32>(number: Fixed<SCALE>, out: &mut Vec<u8>) {
    let mut digits = [0_u16; MOST_DIGITS];
    let mut count = 0_u8;
    let mut rest = number.units().unsigned_abs();
    while rest > 0 {
        let (higher, digit) = (rest / DIGIT_BASE, rest % DIGIT_BASE);
        // Trailing zero digits are left out, as PostgreSQL itself does; the weight counts from the first.
        if let Some(slot) = digits.get_mut(usize::from(count)) {
            *slot = u16::try_from(digit).unwrap_or_default();
        }
        count += 1;
        rest = higher;
    }
    let zeros = digits.iter().take(usize::from(count)).take_while(|digit| **digit == 0).count();
    let digits = digits.get(zeros..usize::from(count)).unwrap_or_default();
    let weight = if count == 0 { 0 } else { i16::from(count) - 1 - fraction_digits::<SCALE>() };
    let sign: u16 = if number.units() < 0 { 0x4000 } else { 0 };
    out.extend(u16::try_from(digits.len()).unwrap_or_default().to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(u16::try_from(SCALE).unwrap_or_default().to_be_bytes());
    for digit in digits.iter().rev() {
        out.extend(digit.to_be_bytes());
    }
}

/// How many base-10000 digits stand behind the point. Only scales that are whole digits exist here.
const fn fraction_digits<const SCALE: u32>() -> i16 {
    const { assert!(SCALE == 8 || SCALE == 16) };
    if SCALE == 8 { 2 } else { 4 }
}

fn read_numeric<const SCALE: u32>(bytes: &[u8]) -> Result<Fixed<SCALE>, BoxDynError> {
    let mut words = bytes.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let mut word = || words.next().ok_or("a numeric is cut short");
    let (count, weight, sign, _decimals) = (word()?, word()?, word()?, word()?);
    let mut units: i128 = 0;
    // The weight of the digit that comes next, counted from the last one that the scale keeps.
    let mut position = i32::from(weight) + i32::from(fraction_digits::<SCALE>());
    for _ in 0..count {
        let digit = i128::from(word()?);
        if position < 0 {
            return Err(format!("a numeric has more than {SCALE} decimals").into());
        }
        let exponent = u32::try_from(position)?;
        let value = 10_000_i128.checked_pow(exponent).and_then(|unit| unit.checked_mul(digit));
        units = value.and_then(|value| units.checked_add(value)).ok_or("a numeric is too large")?;
        position -= 1;
    }
    match sign {
        0 => Ok(Fixed::from_units(units)?),
        0x4000 => Ok(Fixed::from_units(-units)?),
        _ => Err("a numeric is not a finite number".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{Fixed8, Fixed16};
    use proptest::prelude::*;

    fn bytes_of<const SCALE: u32>(number: Fixed<SCALE>) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_numeric(number, &mut bytes);
        bytes
    }

    #[test]
    fn digits_are_those_that_postgresql_writes() {
        // SELECT encode(numeric_send('94250.15'::numeric(30, 8)), 'hex')
        let price: Fixed8 = "94250.15".parse().unwrap();
        assert_eq!(bytes_of(price), [0, 3, 0, 1, 0, 0, 0, 8, 0, 9, 0x10, 0x9a, 0x05, 0xdc]);
        // SELECT encode(numeric_send('-0.0000000000000001'::numeric(38, 16)), 'hex')
        let smallest: Fixed16 = "-0.0000000000000001".parse().unwrap();
        assert_eq!(bytes_of(smallest), [0, 1, 0xff, 0xfc, 0x40, 0, 0, 16, 0, 1]);
        assert_eq!(bytes_of(Fixed8::ZERO), [0, 0, 0, 0, 0, 0, 0, 8]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(units in -10_i128.pow(30) + 1..10_i128.pow(30), shift in 0_u32..30) {
            let number = Fixed8::from_units(units / 10_i128.pow(shift)).unwrap();
            prop_assert_eq!(read_numeric::<8>(&bytes_of(number)).unwrap(), number);
            let wide = Fixed16::from_units(units / 10_i128.pow(shift)).unwrap();
            prop_assert_eq!(read_numeric::<16>(&bytes_of(wide)).unwrap(), wide);
        }

        #[test]
        fn reading_any_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read_numeric::<8>(&bytes);
        }
    }
}
