//! The daily files as whoever downloads them sees them.

use std::io::Read as _;
use std::time::Duration;

use crate::common::{Client, Rest, START_US, as_fast_as_read, start};
use exchange_sim::{Command, DumpFault, Running, SimulatorConfig, Speed, Start, Trade, TradeLog};
use jiff::civil::date;
use serde_json::json;
use sha2::{Digest as _, Sha256};

const DAY_US: i64 = 86_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// A trade every hour from `start_us` on, with ids from 1.
fn hourly_log(start_us: i64, count: i64) -> TradeLog {
    let trades: Vec<Trade> = (1..=count)
        .map(|id| Trade {
            id,
            price: "0.2312".parse().unwrap(),
            quantity: "2619.4".parse().unwrap(),
            time_us: start_us + (id - 1) * HOUR_US + 1_497,
            aggregate_id: id,
            buyer_is_maker: id % 2 == 1,
        })
        .collect();
    TradeLog::recorded("TRXUSDT", &trades)
}

/// The market after the first `past` of `log`.
async fn after(log: TradeLog, past: Duration) -> Running {
    start(SimulatorConfig { past, ..as_fast_as_read(vec![log]) }).await
}

async fn file(running: &Running, name: &str) -> Option<Vec<u8>> {
    let url = format!("{}/data/spot/daily/trades/TRXUSDT/{name}", running.rest_url());
    let response = reqwest::get(url).await.unwrap();
    match response.status().as_u16() {
        200 => Some(response.bytes().await.unwrap().to_vec()),
        404 => None,
        other => panic!("answered {other}"),
    }
}

fn unpacked(zip: &[u8]) -> (String, String) {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
    let mut entry = archive.by_index(0).unwrap();
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    (entry.name().unwrap().into_owned(), text)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn days_that_are_over_are_files_with_their_checksum() {
    let running = after(hourly_log(START_US, 72), Duration::from_secs(60 * 3_600)).await;
    let zip = file(&running, "TRXUSDT-trades-2026-01-02.zip").await.unwrap();
    let (name, csv) = unpacked(&zip);
    assert_eq!(name, "TRXUSDT-trades-2026-01-02.csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 24);
    assert_eq!(lines[0], "25,0.23120000,2619.40000000,605.60528000,1767312000001497,True,True");
    let checksum = file(&running, "TRXUSDT-trades-2026-01-02.zip.CHECKSUM").await.unwrap();
    let expected = format!("{}  TRXUSDT-trades-2026-01-02.zip", sha256(&zip));
    assert_eq!(String::from_utf8(checksum).unwrap(), expected);
    // Neither the day that is not over, nor days without a trade, nor other names.
    for absent in [
        "TRXUSDT-trades-2026-01-03.zip",
        "TRXUSDT-trades-2025-12-31.zip",
        "TRXUSDT-aggTrades-2026-01-02.zip",
        "BTCUSDT-trades-2026-01-02.zip",
        "TRXUSDT-trades-2026-13-02.zip.CHECKSUM",
    ] {
        assert_eq!(file(&running, absent).await, None, "{absent}");
    }
}

#[tokio::test]
async fn files_before_2025_have_milliseconds() {
    let running = after(hourly_log(START_US - 366 * DAY_US, 30), Duration::from_secs(29 * 3_600)).await;
    let zip = file(&running, "TRXUSDT-trades-2024-12-31.zip").await.unwrap();
    assert!(
        unpacked(&zip).1.starts_with("1,0.23120000,2619.40000000,605.60528000,1735603200001,True,True\n")
    );
}

#[tokio::test]
async fn every_fault_of_a_file_takes_effect_and_can_be_mended() {
    let running = after(hourly_log(START_US, 72), Duration::from_secs(60 * 3_600)).await;
    let zip_name = "TRXUSDT-trades-2026-01-02.zip";
    let checksum_name = format!("{zip_name}.CHECKSUM");
    let whole = file(&running, zip_name).await.unwrap();
    let spoil = |fault| {
        let symbol = "TRXUSDT".into();
        running.control(&Command::SpoilDump { symbol, date: date(2026, 1, 2), fault }).unwrap();
    };
    let agrees = async || {
        let zip = file(&running, zip_name).await.unwrap();
        let checksum = String::from_utf8(file(&running, &checksum_name).await.unwrap()).unwrap();
        checksum.starts_with(&sha256(&zip))
    };
    spoil(DumpFault::Absent);
    assert_eq!((file(&running, zip_name).await, file(&running, &checksum_name).await), (None, None));
    spoil(DumpFault::NoChecksum);
    assert_eq!(
        (file(&running, zip_name).await, file(&running, &checksum_name).await),
        (Some(whole.clone()), None)
    );
    spoil(DumpFault::Corrupt);
    assert!(!agrees().await);
    spoil(DumpFault::Header);
    assert!(agrees().await);
    let (_, csv) = unpacked(&file(&running, zip_name).await.unwrap());
    assert!(csv.starts_with("id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n25,"), "{csv}");
    spoil(DumpFault::Short);
    assert!(agrees().await);
    assert_eq!(unpacked(&file(&running, zip_name).await.unwrap()).1.lines().count(), 21);
    spoil(DumpFault::None);
    assert!(agrees().await);
    assert_eq!(file(&running, zip_name).await.unwrap(), whole);
}

#[tokio::test]
async fn the_past_is_not_streamed_and_rest_has_it_as_far_back_as_it_goes() {
    let past = Duration::from_secs(60 * 3_600);
    let config = SimulatorConfig {
        past,
        speed: Speed::from_factor(3_600_000 / 50),
        start: Start::Now,
        wait_for_subscriber: true,
        ..SimulatorConfig::new(vec![hourly_log(START_US, 72)])
    };
    let running = start(config).await;
    let rest = Rest::new(&running);
    assert!(running.status().symbols[0].last_played_id >= Some(61));
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    assert!(client.json().await["t"].as_i64().unwrap() > 61);
    let first = async |from_id: i64| {
        let path = format!("/api/v3/historicalTrades?symbol=TRXUSDT&limit=2&fromId={from_id}");
        rest.body(&path).await[0]["id"].clone()
    };
    assert_eq!(first(7).await, 7);
    running.control(&Command::ForgetTrades { symbol: "TRXUSDT".into(), before_id: 40 }).unwrap();
    assert_eq!([first(7).await, first(50).await], [json!(40), json!(50)]);
}
