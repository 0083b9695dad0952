//! Trades by id where a host lacks `historicalTrades`, as the one for market data only does: `GET /api/v3/aggTrades`. Its
//! rows are the trades of one taker order, time and price, numbered on their own. A row of one trade is that trade; of the
//! others the host tells only ids and time.

use serde::Deserialize;
use tokio::time::{Duration, Instant};

use super::trades::{AmountTexts, asked_trade};
use super::{AskedTrade, BinanceRest, MOST_TRADES, RestError, read_json, time_us, trade_id};

pub(super) const PATH: &str = "/api/v3/aggTrades";
pub(super) const WEIGHT: u32 = 4;

/// How long a host that lacks `historicalTrades` is not asked for them again.
const SINGLE_TRADES_PAUSE: Duration = Duration::from_mins(10);
/// Halving finds one of 2^63 in fewer.
const MOST_QUESTIONS: usize = 64;
/// First and last id of the rows without a trade: duplicates that an audit of 2022 cancelled.
const CANCELLED: (i64, i64) = (-1, -1);

/// ```json
/// {"a":3301200400,"p":"94250.15000000","q":"0.04100000","f":5412300001,"l":5412300003,"T":1767225600124,"m":false,"M":true}
/// ```
#[derive(Deserialize)]
struct Row {
    a: i64,
    p: String,
    q: String,
    f: i64,
    l: i64,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

/// Trades of one order, time and price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedAggregate {
    /// The aggregate's own number.
    pub aggregate_id: i64,
    /// The one trade, or what is known of several.
    pub trades: AskedTrade,
}

impl BinanceRest {
    /// The trades of `symbol` with ids from `from_id` on, by ascending id, in one answer: single ones, and where the host
    /// lacks those, what it has. `received_time_us` is our own clock.
    ///
    /// # Errors
    /// [`RestError`] where it cannot be asked, or the answer cannot be read.
    pub async fn trades_from(
        &mut self,
        symbol: &str,
        from_id: i64,
        received_time_us: i64,
    ) -> Result<Vec<AskedTrade>, RestError> {
        if Instant::now() >= self.ask_single_trades_at {
            match self.historical_trades(symbol, from_id, received_time_us).await {
                Err(error) if error.is_about_the_path() => {
                    tracing::warn!(%error, "the host has no single trades: aggregate trades are asked for instead");
                    self.ask_single_trades_at = Instant::now() + SINGLE_TRADES_PAUSE;
                }
                answer => return answer,
            }
        }
        let rows = self.aggregates_with(symbol, from_id, received_time_us).await?;
        Ok(rows.into_iter().map(|row| row.trades).collect())
    }

    /// Aggregate trades from the one on that has trade `from_id`, or else from the first behind it.
    async fn aggregates_with(
        &mut self,
        symbol: &str,
        from_id: i64,
        received_time_us: i64,
    ) -> Result<Vec<AskedAggregate>, RestError> {
        // Holes are filled from their newest end on, so the last answer was mostly the one just behind.
        let known = self.known_aggregates.remove(symbol).filter(|known| known.trades.first_id() > from_id);
        let behind = match known {
            Some(known) => known,
            None => match self.aggregates(symbol, None, received_time_us).await?.pop() {
                Some(newest) if newest.trades.first_id() > from_id => newest,
                newest => return Ok(newest.into_iter().collect()),
            },
        };
        let mut high = behind.aggregate_id;
        // Every aggregate has a trade, so it is not further back than the trades are.
        let mut low = before(high, behind.trades.first_id() - from_id);
        for _ in 0..MOST_QUESTIONS {
            let guess = if high - low < MOST_TRADES { low } else { low.midpoint(high) };
            let mut rows = self.aggregates(symbol, Some(guess), received_time_us).await?;
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else { break };
            let too_high = first.trades.first_id() - from_id;
            if too_high > 0 && guess > 0 {
                high = guess;
                if guess == low {
                    // There are aggregates without a trade.
                    low = before(low, too_high);
                }
            } else if last.trades.last_id() < from_id && last.aggregate_id > low {
                low = last.aggregate_id;
            } else {
                rows.retain(|row| row.trades.last_id() >= from_id);
                self.known_aggregates.extend(rows.first().map(|first| (symbol.to_owned(), *first)));
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }

    /// Aggregate trades from `from` on, [`MOST_TRADES`] at most, or the newest one.
    async fn aggregates(
        &mut self,
        symbol: &str,
        from: Option<i64>,
        received_time_us: i64,
    ) -> Result<Vec<AskedAggregate>, RestError> {
        let limit = from.map_or(1, |_| MOST_TRADES).to_string();
        let from = from.map(|from| from.to_string());
        let mut query = vec![("symbol", symbol), ("limit", limit.as_str())];
        query.extend(from.as_deref().map(|from| ("fromId", from)));
        read_aggregate_trades(&self.get(PATH, WEIGHT, &query).await?, received_time_us)
    }
}

fn before(aggregate_id: i64, trades: i64) -> i64 {
    aggregate_id.saturating_sub(trades).max(0)
}

/// Reads an answer that came at `received_time_us`; aggregates without a trade are left out.
///
/// # Errors
/// [`RestError`] where it is none that is documented, or its ids do not ascend.
pub fn read_aggregate_trades(body: &[u8], received_time_us: i64) -> Result<Vec<AskedAggregate>, RestError> {
    let rows: Vec<Row> = read_json(PATH, body)?;
    let with_trades = rows.iter().filter(|row| (row.f, row.l) != CANCELLED);
    let aggregates: Result<Vec<_>, _> = with_trades.map(|row| read_row(row, received_time_us)).collect();
    let aggregates = aggregates?;
    let is_disorder = |pair: &&[AskedAggregate]| {
        pair[0].aggregate_id >= pair[1].aggregate_id || pair[0].trades.last_id() >= pair[1].trades.first_id()
    };
    match aggregates.windows(2).find(is_disorder) {
        Some(pair) => Err(RestError::Disorder { path: PATH, trade_id: pair[1].trades.first_id() }),
        None => Ok(aggregates),
    }
}

fn read_row(row: &Row, received_time_us: i64) -> Result<AskedAggregate, RestError> {
    let (first_id, last_id) = (trade_id(PATH, row.f)?, trade_id(PATH, row.l)?);
    let trade_time_us = time_us(PATH, row.time)?;
    if row.a < 0 {
        return Err(RestError::IdOutOfRange { path: PATH, trade_id: row.a });
    }
    if last_id < first_id {
        return Err(RestError::Disorder { path: PATH, trade_id: last_id });
    }
    let trades = if first_id == last_id {
        let amounts = AmountTexts { price: &row.p, quantity: &row.q };
        asked_trade(PATH, first_id, trade_time_us, &amounts, row.m, received_time_us)?
    } else {
        AskedTrade::Merged { first_id, last_id, trade_time_us }
    };
    Ok(AskedAggregate { aggregate_id: row.a, trades })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use market::Trade;
    use serde_json::{Value, json};
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, Request, ResponseTemplate};

    use super::*;

    const TIME_US: i64 = 1_767_225_600_124_000;

    fn row(aggregate_id: i64, first_id: i64, last_id: i64) -> Value {
        json!({"a": aggregate_id, "p": "94250.15000000", "q": "0.04100000", "f": first_id, "l": last_id,
               "T": TIME_US, "m": false, "M": true})
    }

    fn read(rows: Value) -> Result<Vec<AskedAggregate>, RestError> {
        read_aggregate_trades(rows.to_string().as_bytes(), 99)
    }

    #[test]
    fn an_aggregate_of_one_trade_is_that_trade_and_others_are_only_named() {
        let rows = read(json!([row(7, 20, 20), row(8, -1, -1), row(9, 21, 23)])).unwrap();
        let trade = Trade {
            trade_id: 20,
            price: "94250.15".parse().unwrap(),
            quantity: "0.041".parse().unwrap(),
            trade_time_us: TIME_US,
            event_time_us: TIME_US,
            received_time_us: 99,
            buyer_is_maker: false,
        };
        let merged = AskedTrade::Merged { first_id: 21, last_id: 23, trade_time_us: TIME_US };
        let expected = [
            AskedAggregate { aggregate_id: 7, trades: AskedTrade::Found(trade) },
            AskedAggregate { aggregate_id: 9, trades: merged },
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_answer_in_disorder_is_not_used() {
        for rows in [
            json!([row(7, 20, 22), row(8, 22, 23)]),
            json!([row(8, 20, 20), row(8, 21, 21)]),
            json!([row(8, 21, 20)]),
        ] {
            let error = read(rows).unwrap_err();
            assert!(matches!(error, RestError::Disorder { .. }), "{error}");
        }
        assert!(matches!(read(json!([row(-8, 21, 21)])), Err(RestError::IdOutOfRange { trade_id: -8, .. })));
    }

    /// A host without single trades that has so many aggregates of each number of trades, and counts the questions.
    async fn host(aggregates: Vec<(i64, i64, i64)>) -> (MockServer, BinanceRest, Arc<AtomicUsize>) {
        runtime::tls::install_provider();
        let server = MockServer::start().await;
        let questions = Arc::new(AtomicUsize::new(0));
        let counted = questions.clone();
        let answer = move |request: &Request| {
            counted.fetch_add(1, Ordering::Relaxed);
            let number = |name: &str| {
                let pair = request.url.query_pairs().find(|(key, _)| key == name);
                pair.map(|(_, value)| value.parse::<usize>().unwrap())
            };
            let limit = number("limit").unwrap();
            let rows = match number("fromId") {
                None => aggregates.iter().rev().take(limit).collect::<Vec<_>>(),
                Some(from) => aggregates.iter().skip_while(|row| row.0 < from as i64).take(limit).collect(),
            };
            let rows: Vec<Value> = rows.into_iter().map(|(a, f, l)| row(*a, *f, *l)).collect();
            ResponseTemplate::new(200).set_body_json(rows)
        };
        Mock::given(path(PATH)).respond_with(answer).mount(&server).await;
        let mut rest = BinanceRest::new(&server.uri()).unwrap();
        // Or the requests keep their distance, which takes seconds.
        rest.weight_limit = u32::MAX;
        (server, rest, questions)
    }

    /// Aggregates of one, two and three trades in turns, from trade 1,000 on; every hundredth was cancelled.
    fn market(count: i64) -> Vec<(i64, i64, i64)> {
        let mut next_id = 1_000;
        let aggregate = |aggregate_id: i64| {
            if aggregate_id % 100 == 0 {
                return (aggregate_id, -1, -1);
            }
            let first_id = next_id;
            next_id += 1 + aggregate_id % 3;
            (aggregate_id, first_id, next_id - 1)
        };
        (500..500 + count).map(aggregate).collect()
    }

    async fn first_of(rest: &mut BinanceRest, from_id: i64) -> Option<AskedTrade> {
        rest.trades_from("BTCUSDT", from_id, 99).await.unwrap().first().copied()
    }

    #[tokio::test]
    async fn every_trade_is_found_though_aggregates_are_numbered_on_their_own() {
        let (_server, mut rest, questions) = host(market(100_000)).await;
        let last_id = 198_000;
        for from_id in (1_000..last_id).step_by(9_973) {
            let first = first_of(&mut rest, from_id).await.unwrap();
            assert!(first.first_id() <= from_id && from_id <= first.last_id(), "{from_id}: {first:?}");
        }
        assert!(first_of(&mut rest, 0).await.unwrap().first_id() > 0, "there are none of before");
        assert!(first_of(&mut rest, 900_000).await.unwrap().last_id() < 900_000, "nor of behind");
        // From the newest end on, one question brings the next thousand.
        first_of(&mut rest, 150_000).await;
        let before = questions.load(Ordering::Relaxed);
        first_of(&mut rest, 149_001).await;
        assert_eq!(questions.load(Ordering::Relaxed) - before, 1);
    }

    #[tokio::test]
    async fn a_host_that_lacks_single_trades_is_not_asked_for_them_again_for_a_while() {
        let (server, mut rest, questions) = host(market(10)).await;
        for _ in 0..3 {
            assert_eq!(first_of(&mut rest, 1_002).await.unwrap().first_id(), 1_001);
        }
        let asked = server.received_requests().await.unwrap().len();
        assert_eq!(asked - questions.load(Ordering::Relaxed), 1, "historicalTrades");
    }

    #[tokio::test]
    async fn an_exchange_without_a_trade_has_none() {
        let (_server, mut rest, _) = host(Vec::new()).await;
        assert_eq!(first_of(&mut rest, 5).await, None);
    }
}
