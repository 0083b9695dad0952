//! `cryptopipeline rebuild`: removes windows that are wrong, so that they are folded again from the exchange.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use crds::CryptoPipelineSpec;
use jiff::Timestamp;
use market::Market;
use operator::reconcile::plan::markets;
use store::{Rebuilt, time_text};

use crate::output::{counted, print};
use crate::place::{PipelineArguments, open_store};

#[derive(Args)]
pub(crate) struct RebuildArguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The symbol, e.g. BTCUSDT.
    #[arg(long)]
    symbol: String,
    /// The venue, where the symbol is read from more than one.
    #[arg(long)]
    venue: Option<String>,
    /// Windows that hold this time or a later one, e.g. 2026-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Timestamp,
    /// Windows that open before this time.
    #[arg(long, value_name = "TIME")]
    to: Timestamp,
}

/// Removes the windows and says what was removed.
pub(crate) async fn run(arguments: RebuildArguments) -> anyhow::Result<()> {
    let RebuildArguments { pipeline, symbol, venue, from, to } = arguments;
    ensure!(from < to, "--to {to}: must lie after --from {from}");
    let (pipeline, store) = open_store(pipeline).await?;
    let market = choose(&pipeline.spec, &symbol, venue.as_deref())?;
    ensure!(
        pipeline.spec.repair.enabled,
        "spec.repair.enabled is false: nobody would ask the exchange for what is removed"
    );
    let rebuilt = store.rebuild(&market, from.as_microsecond(), to.as_microsecond()).await;
    store.close().await;
    let rebuilt = rebuilt.with_context(|| format!("nothing of {market} was removed"))?;
    print(|out| writeln!(out, "{}", describe(&market, &rebuilt)))
}

/// The market of the pipeline that is meant.
fn choose(spec: &CryptoPipelineSpec, symbol: &str, venue: Option<&str>) -> anyhow::Result<Market> {
    let all = markets(spec);
    let of_symbol: BTreeSet<&Market> = all.iter().filter(|market| market.symbol == symbol).collect();
    let listed = |markets: &BTreeSet<&Market>, name: fn(&Market) -> &str| {
        let names: BTreeSet<&str> = markets.iter().map(|market| name(market)).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    ensure!(
        !of_symbol.is_empty(),
        "--symbol {symbol}: the pipeline has no such symbol, but {}",
        listed(&all.iter().collect(), |market| &market.symbol)
    );
    let venues = listed(&of_symbol, |market| &market.venue);
    match (venue, of_symbol.first()) {
        (None, Some(only)) if of_symbol.len() == 1 => Ok((*only).clone()),
        (Some(venue), _) => {
            let found = of_symbol.into_iter().find(|market| market.venue == venue);
            found.cloned().with_context(|| format!("--venue {venue}: {symbol} is read from {venues}"))
        }
        _ => bail!("--venue is missing: {symbol} is read from {venues}"),
    }
}

fn describe(market: &Market, rebuilt: &Rebuilt) -> String {
    let Rebuilt { from_us, to_us, first_id, last_id, trades, candles } = *rebuilt;
    let candles = counted(i64::try_from(candles).unwrap_or(i64::MAX), "candle", "candles");
    format!(
        "removed of {market}, from {} to {} (whole windows of every candle length): {} (ids {first_id} to {last_id}) and \
         {candles}\n\
         next: the repairer asks the exchange for these ids and the candles are made anew; `cryptopipeline gaps` shows \
         what is still missing, `cryptopipeline verify` how the new candles compare",
        time_text(from_us),
        time_text(to_us),
        counted(trades, "trade", "trades"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(sources: &str) -> CryptoPipelineSpec {
        let text = format!(
            "apiVersion: cryptopipeline.dev/v1alpha1\nkind: CryptoPipeline\nmetadata: {{name: market}}\nspec:\n  sources:\n{sources}"
        );
        crds::manifest::read(&text).unwrap().spec
    }

    const TWO_VENUES: &str = "  - {name: spot, exchange: binance, symbols: [BTCUSDT, ETHUSDT]}
  - name: simulated
    exchange: binance
    venue: simulated
    symbols: [BTCUSDT]
    endpoints: {websocket: 'ws://localhost:1', rest: 'http://localhost:1'}
";

    #[test]
    fn the_market_is_the_one_that_is_meant_or_it_is_said_which_there_are() {
        let spec = spec(TWO_VENUES);
        let chosen = |symbol, venue| {
            choose(&spec, symbol, venue).map_or_else(|error| error.to_string(), |market| market.to_string())
        };
        assert_eq!(chosen("ETHUSDT", None), "binance:ETHUSDT");
        assert_eq!(chosen("BTCUSDT", Some("simulated")), "simulated:BTCUSDT");
        assert_eq!(chosen("BTCUSDT", None), "--venue is missing: BTCUSDT is read from binance, simulated");
        assert_eq!(chosen("ETHUSDT", Some("kraken")), "--venue kraken: ETHUSDT is read from binance");
        assert_eq!(
            chosen("DOGEUSDT", None),
            "--symbol DOGEUSDT: the pipeline has no such symbol, but BTCUSDT, ETHUSDT"
        );
    }

    #[test]
    fn what_was_removed_is_said_in_full() {
        let rebuilt = Rebuilt {
            from_us: 1_767_225_600_000_000,
            to_us: 1_767_225_900_000_000,
            first_id: 30,
            last_id: 59,
            trades: 30,
            candles: 1,
        };
        let text = describe(&Market::new("binance", "BTCUSDT"), &rebuilt);
        assert!(
            text.starts_with(
                "removed of binance:BTCUSDT, from 2026-01-01T00:00:00Z to 2026-01-01T00:05:00Z (whole windows of every \
                 candle length): 30 trades (ids 30 to 59) and 1 candle\nnext: "
            ),
            "{text}"
        );
    }
}
