//! The parameters of a request, and what the exchange says when they are wrong.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::error::ApiError;
use crate::exchange::Exchange;
use crate::playback::{PlayedView, SymbolMarket, SymbolStatus};
use crate::time_unit::{TimeUnit, to_us};

const LEGAL_NUMBER: &str = "^[0-9]{1,20}$";
const LEGAL_SYMBOL: &str = "^[A-Z0-9-_.]{1,20}$";
const LEGAL_SYMBOLS: &str = r#"^\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\]$"#;
const DEFAULT_LIMIT: usize = 500;
const MAX_LIMIT: usize = 1_000;

/// Names and values as sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    time_unit: TimeUnit,
}

/// Which symbols a request is about.
pub(super) enum Selection<'exchange> {
    One(&'exchange Arc<SymbolMarket>),
    Many(Vec<&'exchange Arc<SymbolMarket>>),
}

impl<'exchange> Selection<'exchange> {
    /// The symbols, one or many.
    pub(super) fn markets(&self) -> &[&'exchange Arc<SymbolMarket>] {
        match self {
            Self::One(market) => std::slice::from_ref(market),
            Self::Many(markets) => markets,
        }
    }
}

impl Parameters {
    pub(super) fn new(pairs: Vec<(String, String)>, headers: &HeaderMap) -> Self {
        let wanted = headers.get("x-mbx-time-unit").and_then(|value| value.to_str().ok());
        Self { pairs, time_unit: wanted.and_then(TimeUnit::named).unwrap_or_default() }
    }

    /// In which unit the answer's times are to be.
    pub(super) fn time_unit(&self) -> TimeUnit {
        self.time_unit
    }

    /// Refuses parameters that are sent twice or are not among `known`.
    pub(super) fn check_names(&self, known: &[&str]) -> Result<(), ApiError> {
        for (at, (name, _)) in self.pairs.iter().enumerate() {
            if self.pairs[..at].iter().any(|(before, _)| before == name) {
                return Err(ApiError::duplicate(name));
            }
        }
        let read = self.pairs.iter().filter(|(name, _)| known.contains(&name.as_str())).count();
        if read < self.pairs.len() { Err(ApiError::unread(read, self.pairs.len())) } else { Ok(()) }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(sent, _)| sent == name)
    }

    /// The value of `name`, which may be left out but not be empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.pairs.iter().find(|(sent, _)| sent == name) {
            Some((_, value)) if value.is_empty() => Err(ApiError::empty(name)),
            Some((_, value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }

    /// The value of `name`, which must be there.
    pub(super) fn mandatory_text(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)?.ok_or_else(|| ApiError::mandatory(name))
    }

    /// The number `name`, which may be left out.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        if text.len() > 20 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ApiError::illegal_characters(name, LEGAL_NUMBER));
        }
        text.parse().map(Some).map_err(|_| ApiError::invalid_value(name))
    }

    /// The time `name` in microseconds, sent in either unit.
    pub(super) fn time_us(&self, name: &str) -> Result<Option<i64>, ApiError> {
        Ok(self.number(name)?.map(to_us))
    }

    /// How many rows are wanted: 500 unless told, 1,000 at most.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        match self.number("limit")? {
            None => Ok(DEFAULT_LIMIT),
            Some(0) => Err(ApiError::invalid_value("limit")),
            Some(limit) => Ok(usize::try_from(limit).map_or(MAX_LIMIT, |limit| limit.min(MAX_LIMIT))),
        }
    }

    /// The market of the mandatory `symbol`.
    pub(super) fn market<'exchange>(
        &self,
        exchange: &'exchange Exchange,
    ) -> Result<&'exchange Arc<SymbolMarket>, ApiError> {
        let symbol = self.mandatory_text("symbol")?;
        if !is_legal_symbol(symbol) {
            return Err(ApiError::illegal_characters("symbol", LEGAL_SYMBOL));
        }
        exchange.market(symbol).ok_or_else(ApiError::invalid_symbol)
    }

    /// The trades of the market of `symbol`, as far as REST knows them.
    pub(super) fn played<'exchange>(
        &self,
        exchange: &'exchange Exchange,
    ) -> Result<PlayedView<'exchange>, ApiError> {
        let market = self.market(exchange)?;
        Ok(market.view().until(exchange.rest_knows_until_us(market)))
    }

    /// What `symbol`, `symbols` and `symbolStatus` choose; all symbols where none is named.
    pub(super) fn selection<'exchange>(
        &self,
        exchange: &'exchange Exchange,
    ) -> Result<Selection<'exchange>, ApiError> {
        let status = self.symbol_status()?;
        let fits = |market: &Arc<SymbolMarket>| status.is_none_or(|status| market.status() == status);
        if self.has("symbol") && self.has("symbols") {
            return Err(ApiError::invalid_combination());
        }
        if self.has("symbol") {
            let market = self.market(exchange)?;
            return if fits(market) {
                Ok(Selection::One(market))
            } else {
                Err(ApiError::symbol_status_mismatch())
            };
        }
        let Some(symbols) = self.text("symbols")? else {
            return Ok(Selection::Many(exchange.markets().iter().filter(|market| fits(market)).collect()));
        };
        let markets = listed_markets(symbols, exchange)?;
        if markets.iter().all(|market| fits(market)) {
            Ok(Selection::Many(markets))
        } else {
            Err(ApiError::symbol_status_mismatch())
        }
    }

    fn symbol_status(&self) -> Result<Option<SymbolStatus>, ApiError> {
        match self.text("symbolStatus")? {
            None => Ok(None),
            Some("TRADING") => Ok(Some(SymbolStatus::Trading)),
            Some("HALT") => Ok(Some(SymbolStatus::Halt)),
            Some("BREAK") => Ok(Some(SymbolStatus::Break)),
            Some(_) => Err(ApiError::invalid_value("symbolStatus")),
        }
    }
}

/// The markets of a JSON array of symbols.
fn listed_markets<'exchange>(
    symbols: &str,
    exchange: &'exchange Exchange,
) -> Result<Vec<&'exchange Arc<SymbolMarket>>, ApiError> {
    let illegal = || ApiError::illegal_characters("symbols", LEGAL_SYMBOLS);
    let symbols: Vec<String> = serde_json::from_str(symbols).map_err(|_| illegal())?;
    if symbols.is_empty() || !symbols.iter().all(|symbol| is_legal_symbol(symbol)) {
        return Err(illegal());
    }
    let mut markets = Vec::with_capacity(symbols.len());
    for (at, symbol) in symbols.iter().enumerate() {
        if symbols[..at].contains(symbol) {
            return Err(ApiError::repeated_symbol());
        }
        markets.push(exchange.market(symbol).ok_or_else(ApiError::invalid_symbol)?);
    }
    Ok(markets)
}

/// Symbols with letters of other alphabets exist, too.
fn is_legal_symbol(symbol: &str) -> bool {
    let is_legal = |character: char| {
        (character.is_alphanumeric() && !character.is_lowercase()) || matches!(character, '-' | '_' | '.')
    };
    symbol.chars().count() <= 20 && symbol.chars().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimulatorConfig;
    use crate::log::tests::even_log;

    fn exchange() -> Exchange {
        Exchange::new(SimulatorConfig::new(vec![even_log("TRXUSDT", 3), even_log("ADAUSDT", 3)]))
    }

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Parameters::new(pairs, &HeaderMap::new())
    }

    #[test]
    fn every_wrong_parameter_has_its_code() {
        let exchange = exchange();
        let market =
            |pairs: &[(&str, &str)]| parameters(pairs).market(&exchange).map(|_| ()).unwrap_err().code();
        assert_eq!(market(&[]), -1102);
        assert_eq!(market(&[("symbol", "")]), -1105);
        assert_eq!(market(&[("symbol", "trxusdt")]), -1100);
        assert_eq!(market(&[("symbol", "NOSUCH")]), -1121);
        let limit = |value| parameters(&[("limit", value)]).limit().map_err(|error| error.code());
        assert_eq!(limit("0"), Err(-1130));
        assert_eq!(limit("-5"), Err(-1100));
        assert_eq!(limit("99999999999999999999"), Err(-1130));
        assert_eq!((limit("7"), limit("5000")), (Ok(7), Ok(1_000)));
        let names = |pairs: &[(&str, &str)]| parameters(pairs).check_names(&["symbol"]).unwrap_err().code();
        assert_eq!(names(&[("symbol", "A"), ("symbol", "A")]), -1101);
        assert_eq!(names(&[("symbol", "A"), ("colour", "red")]), -1104);
    }

    #[test]
    fn selections_follow_symbol_symbols_and_status() {
        let exchange = exchange();
        let select = |pairs: &[(&str, &str)]| {
            let selection = parameters(pairs).selection(&exchange).map_err(|error| error.code())?;
            Ok(selection.markets().iter().map(|market| market.symbol().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(select(&[]), Ok(vec!["TRXUSDT".to_owned(), "ADAUSDT".to_owned()]));
        assert_eq!(select(&[("symbol", "ADAUSDT")]), Ok(vec!["ADAUSDT".to_owned()]));
        assert_eq!(select(&[("symbols", r#"["ADAUSDT"]"#)]), Ok(vec!["ADAUSDT".to_owned()]));
        assert_eq!(select(&[("symbols", r#"["ADAUSDT","ADAUSDT"]"#)]), Err(-1151));
        assert_eq!(select(&[("symbols", r#"["NOSUCH"]"#)]), Err(-1121));
        assert_eq!(select(&[("symbols", "ADAUSDT")]), Err(-1100));
        assert_eq!(select(&[("symbol", "ADAUSDT"), ("symbols", r#"["ADAUSDT"]"#)]), Err(-1128));
        assert_eq!(select(&[("symbol", "ADAUSDT"), ("symbolStatus", "BREAK")]), Err(-1220));
        assert_eq!(select(&[("symbolStatus", "HALT")]), Ok(Vec::new()));
    }
}
