//! Real trades played through the simulator: nothing is lost, and candles are those computed by hand.

use crate::common::{Client, Rest, as_fast_as_read, recordings, start};
use serde_json::{Value, json};

const TRX: &str = "TRXUSDT-trades-2025-03-04-part.csv.gz";
const BTC: &str = "binance-spot-BTCUSDT-aggTrades-2026-01-01.csv.gz";

#[tokio::test]
async fn two_recordings_reach_one_subscriber_complete_and_in_order() {
    let Some(logs) = recordings(&[TRX, BTC]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut config = as_fast_as_read(logs);
    config.write_log = Some(folder.path().to_owned());
    let running = start(config).await;
    let path = "/stream?streams=trxusdt@trade/btcusdt@trade&timeUnit=MICROSECOND";
    let mut client = Client::connect(&running, path).await;
    let mut trx = Vec::new();
    let mut btc = Vec::new();
    for _ in 0..10_000 + 16_028 {
        let frame = client.json().await;
        let data = &frame["data"];
        if data["s"] == "TRXUSDT" { trx.push(data.clone()) } else { btc.push(data.clone()) }
    }
    let ids = |frames: &[Value]| frames.iter().map(|frame| frame["t"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids(&trx), (348_656_870..=348_666_869).collect::<Vec<i64>>());
    assert_eq!(ids(&btc), (5_723_703_861..=5_723_719_888).collect::<Vec<i64>>());
    assert_eq!(
        [&trx[0]["p"], &trx[0]["q"], &trx[0]["m"]],
        [&json!("0.23120000"), &json!("2619.40000000"), &json!(true)]
    );
    assert_eq!(trx[0]["T"], 1_741_046_401_271_497_i64);
    client.assert_silent().await;
    running.stop().await.unwrap();

    // What was written is the recording itself, line by line.
    let written = std::fs::read_to_string(folder.path().join("TRXUSDT-trades-2025-03-04.csv")).unwrap();
    assert_eq!(written, text_of(TRX));
}

fn text_of(name: &str) -> String {
    let folder = std::env::var("MARKET_DATA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/market-data").to_owned());
    let file = std::fs::File::open(std::path::Path::new(&folder).join(name)).unwrap();
    std::io::read_to_string(flate2::read::MultiGzDecoder::new(file)).unwrap()
}

#[tokio::test]
async fn candles_of_the_recording_are_those_computed_by_hand() {
    let Some(logs) = recordings(&[BTC]) else { return };
    let running = start(as_fast_as_read(logs)).await;
    let mut client = Client::connect(&running, "/ws/btcusdt@aggTrade").await;
    let aggregates = client.frames(5_000).await;
    assert_eq!(aggregates[0]["a"], 3_800_397_495_i64);
    assert_eq!(aggregates[4_999]["a"], 3_800_402_494_i64);
    assert_eq!(aggregates[4_999]["l"], 5_723_719_888_i64);
    let rest = Rest::new(&running);
    let rows = rest.body("/api/v3/klines?symbol=BTCUSDT&interval=1m").await;
    assert_eq!(rows.as_array().unwrap().len(), 13);
    // Minute, open, high, low, close, volume, trades: the table that comes with the recordings.
    for (minute, open, high, low, close, volume, count) in [
        (0, "87648.21", "87648.22", "87632.74", "87648.00", "4.08049", 1_193),
        (1, "87648.00", "87686.79", "87647.99", "87686.79", "8.53093", 1_401),
        (5, "87701.91", "87816.00", "87701.90", "87761.47", "33.42454", 4_140),
        (11, "87754.07", "87759.15", "87754.06", "87759.15", "1.68807", 344),
    ] {
        let row = &rows[minute];
        assert_eq!(row[0], 1_767_225_600_000_i64 + i64::try_from(minute).unwrap() * 60_000);
        for (at, expected) in [(1, open), (2, high), (3, low), (4, close)] {
            assert_eq!(row[at], format!("{expected}000000"), "minute {minute}");
        }
        assert_eq!((&row[5], &row[8]), (&json!(format!("{volume}000")), &json!(count)), "minute {minute}");
    }
    // By a sum of its own over the aggregates that were sent.
    let first_minute: Vec<&Value> =
        aggregates.iter().filter(|row| row["T"].as_i64().unwrap() < 1_767_225_660_000).collect();
    assert_eq!(first_minute.len(), 487);
    let units =
        |row: &Value, name: &str| row[name].as_str().unwrap().replace('.', "").parse::<i128>().unwrap();
    let quote_units: i128 = first_minute.iter().map(|row| units(row, "p") * units(row, "q")).sum();
    assert_eq!(quote_units % 100_000_000, 0);
    let shown: i128 = rows[0][7].as_str().unwrap().replace('.', "").parse().unwrap();
    assert_eq!(shown, quote_units / 100_000_000);
}

#[tokio::test]
async fn old_recordings_with_header_and_milliseconds_are_played() {
    let Some(logs) = recordings(&["binance-spot-BTCUSDT-trades-2021-01-08-part.csv.gz"]) else { return };
    let running = start(as_fast_as_read(logs)).await;
    let mut client = Client::connect(&running, "/ws/btcusdt@trade").await;
    let frames = client.frames(2_001).await;
    assert_eq!([&frames[0]["t"], &frames[2_000]["t"]], [&json!(553_287_559), &json!(553_289_559)]);
    assert_eq!(frames[0]["T"], 1_610_064_000_278_i64);
    assert_eq!(frames[0]["p"], "39432.48000000");
}
