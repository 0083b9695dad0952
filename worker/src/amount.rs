//! Prices and quantities as exchanges and records write them: decimal text that must be above zero.

use market::{Fixed, Fixed8, ParseFixedError, RefusalReason};

/// Why a text is no price or quantity, as a word that counts and tables can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a plain decimal number.
    #[error("{field}: {source}")]
    NotANumber {
        /// `price` or `quantity`.
        field: &'static str,
        /// What is wrong with the text.
        source: ParseFixedError,
    },
    /// More decimals than 8: it is refused, never cut.
    #[error("{field}: {source}")]
    TooManyDecimals {
        /// `price` or `quantity`.
        field: &'static str,
        /// What is wrong with the text.
        source: ParseFixedError,
    },
    /// More digits before the point than every column holds.
    #[error("{field}: {source}")]
    TooLarge {
        /// `price` or `quantity`.
        field: &'static str,
        /// What is wrong with the text.
        source: ParseFixedError,
    },
    /// A price of zero or less would become a candle's low.
    #[error("price {0} is not above zero")]
    PriceNotPositive(Fixed8),
    /// A trade of nothing is none.
    #[error("quantity {0} is not above zero")]
    QuantityNotPositive(Fixed8),
    /// A figure that counts something cannot be below zero.
    #[error("{field} is below zero")]
    Negative {
        /// The field.
        field: &'static str,
    },
    /// Each fits, their product does not fit 22 digits before the point.
    #[error("price {price} times quantity {quantity} has more than 22 digits before the decimal point")]
    ValueTooLarge {
        /// The price.
        price: Fixed8,
        /// The quantity.
        quantity: Fixed8,
    },
}

impl AmountError {
    /// A short stable word for counters and tables.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self.refusal() {
            Some(refusal) => refusal.as_str(),
            None if matches!(self, Self::Negative { .. }) => "negative",
            None => "not_a_number",
        }
    }

    /// Why a trade with these amounts is refused for good; `None` where they cannot even be read, so that nothing is
    /// known of the trade.
    #[must_use]
    pub const fn refusal(&self) -> Option<RefusalReason> {
        match self {
            Self::NotANumber { .. } | Self::Negative { .. } => None,
            Self::TooManyDecimals { .. } => Some(RefusalReason::TooManyDecimals),
            Self::TooLarge { .. } | Self::ValueTooLarge { .. } => Some(RefusalReason::TooLarge),
            Self::PriceNotPositive(_) => Some(RefusalReason::PriceNotPositive),
            Self::QuantityNotPositive(_) => Some(RefusalReason::QuantityNotPositive),
        }
    }
}

/// The price and the quantity of one trade, both above zero, with a product that every column holds.
///
/// # Errors
/// [`AmountError`] names the field and the rule it breaks.
pub fn read_amounts(price: &str, quantity: &str) -> Result<(Fixed8, Fixed8), AmountError> {
    let price = read_price(price)?;
    let quantity: Fixed8 = read_decimal("quantity", quantity)?;
    if !quantity.is_positive() {
        return Err(AmountError::QuantityNotPositive(quantity));
    }
    if price.checked_mul(quantity).is_err() {
        return Err(AmountError::ValueTooLarge { price, quantity });
    }
    Ok((price, quantity))
}

/// A price, above zero.
///
/// # Errors
/// [`AmountError`] names the rule that it breaks.
pub fn read_price(text: &str) -> Result<Fixed8, AmountError> {
    let price: Fixed8 = read_decimal("price", text)?;
    if price.is_positive() { Ok(price) } else { Err(AmountError::PriceNotPositive(price)) }
}

/// A figure that counts something: zero or more.
///
/// # Errors
/// [`AmountError`] names the field and the rule that it breaks.
pub(crate) fn read_amount<const SCALE: u32>(
    field: &'static str,
    text: &str,
) -> Result<Fixed<SCALE>, AmountError> {
    let number: Fixed<SCALE> = read_decimal(field, text)?;
    if number < Fixed::ZERO { Err(AmountError::Negative { field }) } else { Ok(number) }
}

fn read_decimal<const SCALE: u32>(field: &'static str, text: &str) -> Result<Fixed<SCALE>, AmountError> {
    text.parse().map_err(|source| match source {
        ParseFixedError::NotANumber(_) => AmountError::NotANumber { field, source },
        ParseFixedError::TooManyDecimals { .. } => AmountError::TooManyDecimals { field, source },
        ParseFixedError::TooLarge(_) => AmountError::TooLarge { field, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_reason() {
        let largest = "9999999999999999999999";
        for (price, quantity, reason) in [
            ("abc", "1", "not_a_number"),
            ("1", "", "not_a_number"),
            ("0.123456789", "1", "too_many_decimals"),
            ("1", "0.000000001", "too_many_decimals"),
            ("10000000000000000000000", "1", "too_large"),
            (largest, largest, "too_large"),
            ("0.00000000", "1", "price_not_positive"),
            ("-1", "1", "price_not_positive"),
            ("1", "0", "quantity_not_positive"),
        ] {
            assert_eq!(read_amounts(price, quantity).unwrap_err().reason(), reason, "{price} x {quantity}");
        }
    }

    #[test]
    fn the_message_names_the_field() {
        let error = read_amounts("1", "1.5e3").unwrap_err();
        assert_eq!(error.to_string(), "quantity: \"1.5e3\" is not a decimal number");
    }
}
