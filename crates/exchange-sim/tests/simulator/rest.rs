//! The REST interface as a client sees it.

use std::time::Duration;

use crate::common::{Client, Rest, START_US, as_fast_as_read, even_log, live, start, wait_until};
use exchange_sim::{Limits, Running, SimulatorConfig, Speed};
use serde_json::{Value, json};

const START_MS: i64 = START_US / 1_000;

/// A simulator that has played all of its logs.
async fn played(config: SimulatorConfig) -> Running {
    let running = start(config).await;
    let symbols = running.status().symbols;
    let streams: Vec<String> =
        symbols.iter().map(|progress| format!("{}@trade", progress.symbol.to_lowercase())).collect();
    let mut client = Client::connect(&running, &format!("/ws/{}", streams.join("/"))).await;
    while !running.status().done {
        client.json().await;
    }
    running
}

fn column(rows: &Value, name: &str) -> Vec<i64> {
    rows.as_array().unwrap().iter().map(|row| row[name].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn trades_are_paged_by_id_without_hole_or_repeat() {
    let running = played(as_fast_as_read(vec![even_log("TRXUSDT", 2_500, 500)])).await;
    let rest = Rest::new(&running);
    let mut ids = Vec::new();
    let mut from_id = 0;
    loop {
        let path = format!("/api/v3/historicalTrades?symbol=TRXUSDT&limit=1000&fromId={from_id}");
        let page = column(&rest.body(&path).await, "id");
        let Some(last) = page.last() else { break };
        from_id = last + 1;
        ids.extend(page);
    }
    assert_eq!(ids, (1..=2_500).collect::<Vec<i64>>());
    let newest = rest.body("/api/v3/trades?symbol=TRXUSDT&limit=3").await;
    assert_eq!(column(&newest, "id"), [2_498, 2_499, 2_500]);
    assert_eq!(rest.body("/api/v3/historicalTrades?symbol=TRXUSDT&limit=3").await, newest);
    assert_eq!(column(&rest.body("/api/v3/trades?symbol=TRXUSDT").await, "id").len(), 500);
    assert_eq!(
        rest.body("/api/v3/historicalTrades?symbol=TRXUSDT&fromId=1&limit=1").await,
        json!([{
            "id": 1, "price": "101.50000000", "qty": "0.25000000", "quoteQty": "25.37500000", "time": START_MS,
            "isBuyerMaker": false, "isBestMatch": true
        }])
    );
}

#[tokio::test]
async fn rest_never_shows_what_has_not_been_played() {
    let config =
        SimulatorConfig { speed: Speed::AsFastAsRead, ..live(vec![even_log("TRXUSDT", 400_000, 1)], 1) };
    let running = start(config).await;
    let rest = Rest::new(&running);
    assert_eq!(rest.body("/api/v3/trades?symbol=TRXUSDT").await, json!([]));
    assert_eq!(rest.body("/api/v3/klines?symbol=TRXUSDT&interval=1m").await, json!([]));
    // Nobody reads, so playing stops somewhere in the middle.
    let _client = Client::connect(&running, "/ws/trxusdt@trade").await;
    wait_until(&running, |status| status.symbols[0].played > 0).await;
    for _ in 0..20 {
        let newest = column(&rest.body("/api/v3/trades?symbol=TRXUSDT&limit=1").await, "id")[0];
        let played = running.status().symbols[0].last_played_id.unwrap();
        assert!(newest <= played);
        let beyond = format!("/api/v3/historicalTrades?symbol=TRXUSDT&fromId={}", played + 100_000);
        assert_eq!(rest.body(&beyond).await, json!([]));
    }
}

#[tokio::test]
async fn aggregates_are_found_by_id_and_time() {
    let running = played(as_fast_as_read(vec![even_log("TRXUSDT", 100, 500)])).await;
    let rest = Rest::new(&running);
    let ids = |query: &'static str| {
        let rest = &rest;
        async move { column(&rest.body(&format!("/api/v3/aggTrades?symbol=TRXUSDT{query}")).await, "a") }
    };
    assert_eq!(ids("").await, (1..=50).collect::<Vec<i64>>());
    assert_eq!(ids("&limit=2").await, [49, 50]);
    assert_eq!(ids("&fromId=10&limit=3").await, [10, 11, 12]);
    // A pair a millisecond.
    assert_eq!(ids("&startTime=1767225600010&limit=2").await, [11, 12]);
    assert_eq!(ids("&startTime=1767225600010&endTime=1767225600012").await, [11, 12, 13]);
    assert_eq!(ids("&startTime=1767225600010000&endTime=1767225600012000").await, [11, 12, 13]);
    assert_eq!(ids("&endTime=1767225600012&limit=2").await, [12, 13]);
    assert_eq!(ids("&startTime=1767225700000").await, [0; 0]);
    let row = rest.body("/api/v3/aggTrades?symbol=TRXUSDT&fromId=2&limit=1").await;
    assert_eq!(
        row,
        json!([{
            "a": 2, "p": "102.50000000", "q": "0.50000000", "f": 3, "l": 4, "T": START_MS + 1, "m": true, "M": true
        }])
    );
}

#[tokio::test]
async fn candles_are_rows_of_twelve_and_quiet_windows_repeat_the_close() {
    // A pair each two minutes: every second minute is empty.
    let running = played(as_fast_as_read(vec![even_log("TRXUSDT", 6, 60_000_000)])).await;
    let rest = Rest::new(&running);
    let rows = rest.body("/api/v3/klines?symbol=TRXUSDT&interval=1m").await;
    assert_eq!(rows.as_array().unwrap().len(), 5);
    assert_eq!(
        rows[2],
        json!([
            START_MS + 120_000,
            "102.50000000",
            "102.50000000",
            "102.50000000",
            "102.50000000",
            "0.50000000",
            START_MS + 179_999,
            "51.25000000",
            2,
            "0.00000000",
            "0.00000000",
            "0"
        ])
    );
    assert_eq!(
        rows[1],
        json!([
            START_MS + 60_000,
            "101.50000000",
            "101.50000000",
            "101.50000000",
            "101.50000000",
            "0.00000000",
            START_MS + 119_999,
            "0.00000000",
            0,
            "0.00000000",
            "0.00000000",
            "0"
        ])
    );
    let path = format!("/api/v3/klines?symbol=TRXUSDT&interval=1m&startTime={}&limit=2", START_MS + 1);
    let reply = rest.get_with(&path, &[("X-MBX-TIME-UNIT", "MICROSECOND")]).await.body;
    assert_eq!(reply[0][0], START_US + 60_000_000);
    assert_eq!(reply[0][6], START_US + 119_999_999);
    assert_eq!(reply.as_array().unwrap().len(), 2);
    let days = rest.body("/api/v3/klines?symbol=TRXUSDT&interval=1d&timeZone=8").await;
    assert_eq!(days[0][0], START_MS - 8 * 3_600_000);
}

#[tokio::test]
async fn tickers_and_exchange_info_describe_the_symbols() {
    let logs = vec![even_log("TRXUSDT", 20, 500), even_log("ADABTC", 20, 500)];
    let running = played(as_fast_as_read(logs)).await;
    let rest = Rest::new(&running);
    assert_eq!(
        rest.body("/api/v3/ticker/price?symbol=TRXUSDT").await,
        json!({"symbol": "TRXUSDT", "price": "100.50000000"})
    );
    assert_eq!(
        rest.body("/api/v3/ticker/price?symbols=%5B%22ADABTC%22%5D").await.as_array().unwrap().len(),
        1
    );
    let day = rest.body("/api/v3/ticker/24hr?symbol=TRXUSDT").await;
    assert_eq!(
        [&day["firstId"], &day["lastId"], &day["count"], &day["lastPrice"], &day["priceChangePercent"]],
        [&json!(1), &json!(20), &json!(20), &json!("100.50000000"), &json!("-0.985")]
    );
    let mini = rest.body("/api/v3/ticker/24hr?type=MINI").await;
    assert_eq!(mini.as_array().unwrap().len(), 2);
    assert!(mini[0].get("lastQty").is_none());
    let info = rest.body("/api/v3/exchangeInfo?symbols=%5B%22ADABTC%22%5D").await;
    assert_eq!(info["rateLimits"][0]["limit"], 6_000);
    let symbol = &info["symbols"][0];
    assert_eq!([&symbol["status"], &symbol["baseAsset"], &symbol["quoteAsset"]], ["TRADING", "ADA", "BTC"]);
    assert_eq!(symbol["filters"][0]["filterType"], "PRICE_FILTER");
    assert_eq!(symbol["filters"][0]["tickSize"], "0.10000000");
    assert_eq!(symbol["filters"][1]["stepSize"], "0.01000000");
    assert_eq!(symbol["permissionSets"], json!([["SPOT"]]));
}

#[tokio::test]
async fn time_is_the_markets_own_in_either_unit() {
    let running = start(live(vec![even_log("TRXUSDT", 20, 500)], 1)).await;
    let rest = Rest::new(&running);
    assert_eq!(rest.body("/api/v3/ping").await, json!({}));
    assert_eq!(rest.body("/api/v3/time").await, json!({"serverTime": START_MS}));
    let reply = rest.get_with("/api/v3/time", &[("X-MBX-TIME-UNIT", "MICROSECOND")]).await;
    assert_eq!(reply.body, json!({"serverTime": START_US}));
}

#[tokio::test]
async fn wrong_parameters_are_answered_with_the_exchanges_codes() {
    let running = played(as_fast_as_read(vec![even_log("TRXUSDT", 20, 500)])).await;
    let rest = Rest::new(&running);
    for (path, code) in [
        ("/api/v3/trades", -1102),
        ("/api/v3/trades?symbol=", -1105),
        ("/api/v3/trades?symbol=NOSUCH", -1121),
        ("/api/v3/trades?symbol=trxusdt", -1100),
        ("/api/v3/trades?symbol=TRXUSDT&limit=x", -1100),
        ("/api/v3/trades?symbol=TRXUSDT&limit=0", -1130),
        ("/api/v3/trades?symbol=TRXUSDT&symbol=TRXUSDT", -1101),
        ("/api/v3/trades?symbol=TRXUSDT&fromId=1", -1104),
        ("/api/v3/klines?symbol=TRXUSDT", -1102),
        ("/api/v3/klines?symbol=TRXUSDT&interval=7m", -1120),
        ("/api/v3/klines?symbol=TRXUSDT&interval=1m&timeZone=20", -1130),
        ("/api/v3/aggTrades?symbol=TRXUSDT&fromId=1&startTime=5", -1128),
        ("/api/v3/ticker/24hr?symbol=TRXUSDT&type=HUGE", -1130),
        ("/api/v3/exchangeInfo?symbol=TRXUSDT&symbolStatus=TRADING", -1128),
        ("/api/v3/exchangeInfo?symbols=%5B%22TRXUSDT%22,%22TRXUSDT%22%5D", -1151),
    ] {
        let reply = rest.get(path).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!(code)), "{path}");
        assert!(reply.body["msg"].is_string());
    }
    let reply = rest.get("/api/v3/trades?symbol=NOSUCH").await;
    assert_eq!(reply.body, json!({"code": -1121, "msg": "Invalid symbol."}));
    assert_eq!(rest.get("/api/v1/trades?symbol=TRXUSDT").await.status, 404);
}

#[tokio::test]
async fn weight_is_shown_and_limited_and_those_who_go_on_are_banned() {
    let mut config = as_fast_as_read(vec![even_log("TRXUSDT", 20, 500)]);
    config.limits = Limits {
        weight_per_minute: 60,
        warnings_before_ban: 2,
        first_ban: Duration::from_secs(120),
        ..Limits::default()
    };
    let running = start(config).await;
    let rest = Rest::new(&running);
    wait_for_the_beginning_of_a_minute().await;
    let mut used = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let reply = rest.get("/api/v3/trades?symbol=TRXUSDT").await;
        used.push(reply.used_weight.unwrap());
        statuses.push((reply.status, reply.retry_after));
        if reply.status != 200 {
            assert_eq!(reply.body["code"], -1003);
        }
    }
    assert_eq!(used, [25, 50, 75, 100, 125, 125]);
    assert_eq!(
        statuses.iter().map(|(status, _)| *status).collect::<Vec<_>>(),
        [200, 200, 429, 429, 418, 418]
    );
    let status = running.status();
    assert_eq!((status.rate_limited_requests, status.banned_requests), (2, 2));
    assert!((1..=60).contains(&statuses[2].1.unwrap()));
    assert!((61..=120).contains(&statuses[4].1.unwrap()));
}

/// Weights are counted by minutes of the wall clock: six requests must not straddle two.
async fn wait_for_the_beginning_of_a_minute() {
    let seconds =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() % 60;
    while seconds() > 50 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
