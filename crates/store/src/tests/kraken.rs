//! Recorded trades of a real exchange through the flush, against the candles that the exchange itself made of them.

#[path = "../../../market/tests/kraken/recording.rs"]
mod recording;

use recording::{ExchangeCandle, Recording};

use super::database::{Sender, TestDatabase};
use crate::CandleRow;

pub(super) async fn exactly_the_whole_minutes_are_complete_and_are_the_exchanges_own(database: TestDatabase) {
    let Some(recording) = Recording::read() else { return };
    let (mut flusher, sender) = (database.flusher(&["1m"]), Sender::new(&database, 0).await);
    for batch in recording.batches() {
        sender.flush(&mut flusher, "XBTUSDT", &batch).await;
    }
    let candles = database.candles("1m").await;
    let (complete, cut): (Vec<_>, Vec<_>) = candles.iter().partition(|candle| candle.complete);
    let theirs: Vec<_> = recording.whole_minutes().copied().collect();
    assert_eq!(complete.iter().map(|candle| as_theirs(candle)).collect::<Vec<_>>(), theirs);
    assert_eq!(complete.iter().filter(|candle| candle.trade_count > 0).count(), 272);
    assert_eq!(complete.iter().filter(|candle| candle.trade_count == 0).count(), 137);
    let edges =
        [theirs[0].open_time_us - recording::MINUTE_US, theirs[408].open_time_us + recording::MINUTE_US];
    assert_eq!(cut.iter().map(|candle| candle.open_time_us).collect::<Vec<_>>(), edges);
}

fn as_theirs(row: &CandleRow) -> ExchangeCandle {
    let CandleRow { open_time_us, open, high, low, close, volume, trade_count, .. } = *row;
    ExchangeCandle { open_time_us, open, high, low, close, volume, trade_count }
}
