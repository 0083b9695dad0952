//! What the property tests of this crate share.

use proptest::prelude::*;

use crate::{Fixed8, Ticker, Trade};

/// `count` trades with different ids in random order. Times rise with the ids and often stay equal.
pub(crate) fn trades(count: usize) -> impl Strategy<Value = Vec<Trade>> {
    let one = (
        1_i64..10_i64.pow(13),
        1_i64..10_i64.pow(12),
        prop_oneof![Just(0_i64), 0..40_000_000_i64],
        any::<bool>(),
    );
    (prop::collection::vec(one, count), 1_i64..1_000_000)
        .prop_map(|(rows, first_id)| {
            let mut trade_time_us = 1_767_225_600_000_000;
            rows.into_iter()
                .zip(first_id..)
                .map(|((price, quantity, pause_us, buyer_is_maker), trade_id)| {
                    trade_time_us += pause_us;
                    Trade {
                        trade_id,
                        price: Fixed8::from_units(price.into()).unwrap(),
                        quantity: Fixed8::from_units(quantity.into()).unwrap(),
                        trade_time_us,
                        event_time_us: trade_time_us,
                        received_time_us: trade_time_us,
                        buyer_is_maker,
                    }
                })
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// `count` samples of different times, in random order.
pub(crate) fn tickers(count: usize) -> impl Strategy<Value = Vec<Ticker>> {
    prop::collection::vec((1_i64..10_i64.pow(13), 1..40_000_000_i64), count)
        .prop_map(|rows| {
            let mut sample_time_us = 1_767_225_600_000_000;
            let ticker = |(price, pause_us): (i64, i64)| {
                sample_time_us += pause_us;
                let price = Fixed8::from_units(price.into()).unwrap();
                Ticker { sample_time_us, price, day: None, received_time_us: sample_time_us }
            };
            rows.into_iter().map(ticker).collect::<Vec<_>>()
        })
        .prop_shuffle()
}
