//! What the symbols cost now: `GET /api/v3/ticker/price`.

use std::borrow::Cow;

use market::Fixed8;
use serde::Deserialize;

use super::symbol_batches::symbol_list;
use super::{BinanceRest, RestError, read_json};
use crate::amount::{AmountError, read_price};

const PATH: &str = "/api/v3/ticker/price";
/// As much as all of them cost.
const WEIGHT: u32 = 4;
/// Of more, all prices that there are cost the same, and the address stays short.
const MOST_NAMED: usize = 100;

/// One price of an answer.
#[derive(Debug, Deserialize)]
pub struct ToldPrice<'a> {
    /// The symbol.
    #[serde(borrow)]
    pub symbol: Cow<'a, str>,
    #[serde(borrow)]
    price: Cow<'a, str>,
}

impl ToldPrice<'_> {
    /// The price, above zero.
    ///
    /// # Errors
    /// [`AmountError`] where it is none.
    pub fn price(&self) -> Result<Fixed8, AmountError> {
        read_price(&self.price)
    }
}

impl BinanceRest {
    /// The answer to what `symbols` cost, for [`read_prices`]: one request for all. It may tell of others too.
    ///
    /// # Errors
    /// [`RestError`] where the exchange cannot be asked; one symbol that it does not list is enough.
    pub async fn ask_prices(&mut self, symbols: &[String]) -> Result<Vec<u8>, RestError> {
        if symbols.len() > MOST_NAMED {
            return self.get(PATH, WEIGHT, &[]).await;
        }
        self.get(PATH, WEIGHT, &[("symbols", &symbol_list(symbols))]).await
    }
}

/// Reads an answer.
///
/// # Errors
/// [`RestError`] where it is none that is documented.
pub fn read_prices(body: &[u8]) -> Result<Vec<ToldPrice<'_>>, RestError> {
    read_json(PATH, body)
}
