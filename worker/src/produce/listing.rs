//! Asks the exchange again and again which of the symbols it lists and trades: an unlisted symbol's stream
//! would be acknowledged like any other and stay silent for ever.

use std::sync::Arc;

use runtime::backoff::Backoff;
use runtime::error_chain::error_chain;
use tokio::sync::watch;

use super::state::ProducerState;
use super::timings::Timings;
use crate::exchange::{BinanceRest, Listing, SymbolListing};

/// What its problems are told under.
const PART: &str = "symbols";

/// Runs until it is dropped; `listed` is told when something is new.
pub(crate) async fn keep_listing(
    state: Arc<ProducerState>,
    mut rest: BinanceRest,
    timings: Timings,
    listed: watch::Sender<()>,
) {
    let symbols: Vec<String> = state.feeds.all().iter().map(|feed| feed.symbol.clone()).collect();
    let mut backoff = Backoff::new(timings.retry_shortest, timings.retry_longest);
    let mut was_listed = false;
    state.set_problem(PART, "the exchange has not been asked yet".to_owned());
    loop {
        let listings = rest.list_symbols(&symbols).await;
        state.set_weight_used(rest.weight_used());
        let pause = match listings {
            Ok(listings) => {
                was_listed = true;
                state.clear_problem(PART);
                if note_listings(&state, &listings) {
                    listed.send_replace(());
                }
                backoff.reset();
                timings.listing_interval
            }
            Err(error) => {
                let cause = error_chain(&error);
                tracing::warn!(error = cause, "the exchange does not say which symbols it lists");
                // What was listed once goes on streaming.
                if !was_listed {
                    state.set_problem(PART, cause);
                }
                backoff.next_delay().max(error.pause().unwrap_or_default())
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Keeps what the exchange said. True where anything of it is new.
fn note_listings(state: &ProducerState, listings: &[SymbolListing]) -> bool {
    let mut is_news = false;
    for SymbolListing { symbol, listing, .. } in listings {
        let Some(place) = state.feeds.place_of(symbol) else { continue };
        if state.feeds.all()[place].set_listing(*listing) {
            is_news = true;
            match listing {
                Listing::Unknown => tracing::warn!(symbol, "the exchange does not list it: not subscribed"),
                Listing::NotTrading => tracing::warn!(symbol, "the exchange does not trade it now"),
                Listing::Trading | Listing::Unchecked => tracing::info!(symbol, "listed"),
            }
        }
    }
    is_news
}
