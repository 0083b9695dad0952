//! `cryptopipeline rebuild`: removes windows that are wrong, so that they are folded again from the exchange.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use jiff::Timestamp;
use market::Market;
use serde_json::{Value, json};
use store::{RebuildError, Rebuilt, time_text};

use crate::confirm::{confirm, ensure_a_person};
use crate::output::{Format, FormatOptions, counted, flag, print, tell, write_json};
use crate::place::Opened;

/// What is asked before anything is removed.
pub(crate) const QUESTION: &str = "Remove it?";

/// What to rebuild.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct RebuildOptions {
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
    #[command(flatten)]
    format: FormatOptions,
}

/// Whether anything is removed.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
pub(crate) struct Consent {
    /// Only show what would be removed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Remove it without asking.
    #[arg(long)]
    pub(crate) yes: bool,
}

impl RebuildOptions {
    /// What needs no database to be seen.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Self { from, to, .. } = self;
        ensure!(from < to, "--to {to}: must lie after --from {from}");
        Ok(())
    }

    /// The same, printed for people.
    pub(crate) fn for_people(&self) -> Self {
        Self { format: FormatOptions { output: Format::Table }, ..self.clone() }
    }

    /// The same options, for a command that runs elsewhere.
    pub(crate) fn to_arguments(&self) -> Vec<String> {
        let Self { symbol, venue, from, to, format } = self;
        let mut arguments = vec![flag("--symbol", symbol), flag("--from", from), flag("--to", to)];
        arguments.extend(venue.as_ref().map(|venue| flag("--venue", venue)));
        arguments.extend(format.to_arguments());
        arguments
    }
}

/// Shows what would be removed, or removes it and says what it was.
pub(crate) async fn run(
    opened: Opened,
    options: RebuildOptions,
    consent: Consent,
) -> anyhow::Result<ExitCode> {
    options.check()?;
    if !consent.yes && !consent.dry_run {
        ensure_a_person()?;
    }
    ensure!(
        opened.has_repairer,
        "no repairer runs (spec.repair.enabled is false, or no source has trades): nobody would ask the exchange for what is removed"
    );
    let RebuildOptions { symbol, venue, from, to, format } = options;
    let market = choose(&opened.markets, &symbol, venue.as_deref())?;
    let (from_us, to_us) = (from.as_microsecond(), to.as_microsecond());
    let store = opened.store;
    let told = |rebuilt: Result<Rebuilt, RebuildError>| {
        rebuilt.with_context(|| format!("nothing of {market} was removed"))
    };
    if !consent.yes {
        let preview = told(store.preview_rebuild(&market, from_us, to_us).await)?;
        if consent.dry_run {
            show(&market, &preview, Step::Preview, format.output)?;
            return Ok(ExitCode::SUCCESS);
        }
        tell(describe(&market, &preview, Step::Preview));
        confirm(QUESTION)?;
    }
    let rebuilt = store.rebuild(&market, from_us, to_us).await;
    store.close().await;
    show(&market, &told(rebuilt)?, Step::Removed, format.output)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Preview,
    Removed,
}

/// The market of the pipeline that is meant.
fn choose(all: &BTreeSet<Market>, symbol: &str, venue: Option<&str>) -> anyhow::Result<Market> {
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

fn show(market: &Market, rebuilt: &Rebuilt, step: Step, format: Format) -> anyhow::Result<()> {
    print(|out| match format {
        Format::Table => writeln!(out, "{}", describe(market, rebuilt, step)),
        Format::Json => write_json(&json_of(market, rebuilt, step), out),
    })
}

fn json_of(market: &Market, rebuilt: &Rebuilt, step: Step) -> Value {
    let Rebuilt { from_us, to_us, first_id, last_id, trades, candles } = *rebuilt;
    json!({
        "venue": market.venue,
        "symbol": market.symbol,
        "removed": step == Step::Removed,
        "from": time_text(from_us),
        "to": time_text(to_us),
        "first_trade_id": first_id,
        "last_trade_id": last_id,
        "trades": trades,
        "candles": candles,
    })
}

fn describe(market: &Market, rebuilt: &Rebuilt, step: Step) -> String {
    let Rebuilt { from_us, to_us, first_id, last_id, trades, candles } = *rebuilt;
    let candles = counted(i64::try_from(candles).unwrap_or(i64::MAX), "candle", "candles");
    let what = format!(
        "of {market}, from {} to {} (whole windows of every candle length): {} (ids {first_id} to {last_id}) and {candles}",
        time_text(from_us),
        time_text(to_us),
        counted(trades, "trade", "trades"),
    );
    match step {
        Step::Preview => {
            format!(
                "would be removed {what}\nuntil the repairer has brought these trades back, they are missing"
            )
        }
        Step::Removed => format!(
            "removed {what}\n\
             next: the repairer asks the exchange for these ids and the candles are made anew; `gaps` shows what is still \
             missing, `verify` how the new candles compare"
        ),
    }
}

#[cfg(test)]
mod tests {
    use operator::reconcile::plan::trade_markets;

    use super::*;

    fn markets_of(sources: &str) -> BTreeSet<Market> {
        let text = format!(
            "apiVersion: cryptopipeline.dev/v1alpha1\nkind: CryptoPipeline\nmetadata: {{name: market}}\nspec:\n  sources:\n{sources}"
        );
        trade_markets(&crds::manifest::read(&text).unwrap().spec)
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
        let all = markets_of(TWO_VENUES);
        let chosen = |symbol, venue| {
            choose(&all, symbol, venue).map_or_else(|error| error.to_string(), |market| market.to_string())
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
        let market = Market::new("binance", "BTCUSDT");
        let text = describe(&market, &rebuilt, Step::Removed);
        let preview = describe(&market, &rebuilt, Step::Preview);
        assert!(
            preview.starts_with("would be removed of binance:BTCUSDT, from 2026-01-01T00:00:00Z"),
            "{preview}"
        );
        assert_eq!(json_of(&market, &rebuilt, Step::Preview)["removed"], false);
        assert!(
            text.starts_with(
                "removed of binance:BTCUSDT, from 2026-01-01T00:00:00Z to 2026-01-01T00:05:00Z (whole windows of every \
                 candle length): 30 trades (ids 30 to 59) and 1 candle\nnext: "
            ),
            "{text}"
        );
    }
}
