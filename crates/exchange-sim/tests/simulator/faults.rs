//! Faults on request: each takes effect, and nothing else does.

use crate::common::{Client, Rest, START_US, as_fast_as_read, even_log, live, start, wait_until};
use exchange_sim::control::KlineField;
use exchange_sim::{Command, FalseFrame, SymbolStatus};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

fn id(frame: &Value) -> i64 {
    frame["t"].as_i64().unwrap()
}

#[tokio::test]
async fn disconnect_cuts_all_connections_without_a_word() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let mut clients = [Client::connect(&running, "/ws").await, Client::connect(&running, "/stream").await];
    wait_until(&running, |status| status.connections == 2).await;
    running.control(&Command::Disconnect).unwrap();
    for client in &mut clients {
        assert_eq!(client.closed().await, None);
    }
    Client::connect(&running, "/ws").await;
}

#[tokio::test]
async fn a_shutdown_is_announced_in_both_forms_and_closes() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let mut raw = Client::connect(&running, "/ws").await;
    let mut combined = Client::connect(&running, "/stream").await;
    wait_until(&running, |status| status.connections == 2).await;
    running.control(&Command::ServerShutdown { lead_ms: 50 }).unwrap();
    let event = raw.json().await;
    assert_eq!(event["e"], "serverShutdown");
    assert!(event["E"].is_i64());
    let wrapped = combined.json().await;
    assert_eq!([&wrapped["stream"], &wrapped["data"]["e"]], ["!serverShutdown", "serverShutdown"]);
    assert_eq!(raw.closed().await.unwrap().code, CloseCode::Away);
    assert_eq!(combined.closed().await.unwrap().code, CloseCode::Away);
}

#[tokio::test]
async fn stopping_announces_the_shutdown_and_leaves_the_whole_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = as_fast_as_read(vec![even_log("TRXUSDT", 3_000, 500)]);
    config.write_log = Some(folder.path().join("played"));
    let running = start(config).await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    client.frames(3_000).await;
    let stopping = tokio::spawn(running.stop());
    assert_eq!(client.json().await["e"], "serverShutdown");
    assert!(client.closed().await.is_some());
    stopping.await.unwrap().unwrap();
    let written =
        std::fs::read_to_string(folder.path().join("played/TRXUSDT-trades-2026-01-01.csv")).unwrap();
    assert_eq!(written.lines().count(), 3_000);
    assert_eq!(
        written.lines().next(),
        Some("1,101.50000000,0.25000000,25.37500000,1767225600000000,False,True")
    );
    assert!(written.ends_with('\n'));
}

#[tokio::test]
async fn withheld_trades_are_a_hole_in_the_stream_that_rest_still_has() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 10, 500)])).await;
    let hole = Command::WithholdTrades { symbol: "TRXUSDT".into(), first_id: 3, last_id: 6 };
    running.control(&hole).unwrap();
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    let ids: Vec<i64> = client.frames(6).await.iter().map(id).collect();
    assert_eq!(ids, [1, 2, 7, 8, 9, 10]);
    let rows = Rest::new(&running).body("/api/v3/historicalTrades?symbol=TRXUSDT&fromId=3&limit=4").await;
    let rest_ids: Vec<i64> = rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(rest_ids, [3, 4, 5, 6]);
}

#[tokio::test]
async fn frames_are_damaged_and_doubled_as_often_as_asked() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 6, 500)])).await;
    running.control(&Command::DamageFrames { symbol: "TRXUSDT".into(), count: 1 }).unwrap();
    running.control(&Command::DuplicateFrames { symbol: "TRXUSDT".into(), count: 2 }).unwrap();
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    let damaged = client.text().await;
    assert!(serde_json::from_str::<Value>(&damaged).is_err(), "{damaged}");
    let ids: Vec<i64> = client.frames(7).await.iter().map(id).collect();
    assert_eq!(ids, [2, 2, 3, 3, 4, 5, 6]);
}

#[tokio::test]
async fn delayed_frames_come_after_the_one_that_follows() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 6, 500)])).await;
    running.control(&Command::DelayFrames { symbol: "TRXUSDT".into(), count: 2 }).unwrap();
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    let ids: Vec<i64> = client.frames(6).await.iter().map(id).collect();
    assert_eq!(ids, [2, 1, 3, 4, 5, 6]);
}

#[tokio::test]
async fn false_frames_stand_beside_the_true_ones() {
    for frame in [
        FalseFrame::WrongTypes,
        FalseFrame::AbsurdId,
        FalseFrame::AbsurdTime,
        FalseFrame::AbsurdPrice,
        FalseFrame::Oversized,
    ] {
        let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 4, 500)])).await;
        let command = Command::FalseFrames { symbol: "TRXUSDT".into(), frame, count: 2 };
        running.control(&command).unwrap();
        let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
        let frames = client.frames(6).await;
        assert!(frames[0] != frames[1] && frames[2] != frames[3], "{frame:?}");
        let ids: Vec<i64> = [1, 3, 4, 5].map(|at| id(&frames[at])).into();
        assert_eq!(ids, [1, 2, 3, 4], "{frame:?}");
        assert_eq!(running.status().symbols[0].spoiled_frames, 2);
    }
}

#[tokio::test]
async fn rest_tells_of_an_earlier_market_and_takes_its_time() {
    let running = start(live(vec![even_log("TRXUSDT", 20, 10_000)], 1)).await;
    let rest = Rest::new(&running);
    Client::connect(&running, "/ws/trxusdt@trade").await.frames(20).await;
    let newest = async || {
        let ticker = rest.body("/api/v3/ticker/24hr?symbols=%5B%22TRXUSDT%22%5D&type=MINI").await;
        let trades = rest.body("/api/v3/historicalTrades?symbol=TRXUSDT").await;
        (ticker[0]["lastId"].clone(), trades.as_array().unwrap().len())
    };
    assert_eq!(newest().await, (json!(20), 20));
    let lag = json!({"command": "lag_rest", "lag_ms": 3_600_000, "for_ms": 60_000});
    assert_eq!(rest.post("/control/command", &lag).await, 200);
    assert_eq!(newest().await, (Value::Null, 0));
    assert_eq!(
        rest.post("/control/command", &json!({"command": "lag_rest", "lag_ms": 1, "for_ms": 0})).await,
        200
    );
    assert_eq!(newest().await, (json!(20), 20));
    let slow = json!({"command": "slow_rest", "delay_ms": 300, "for_ms": 60_000});
    assert_eq!(rest.post("/control/command", &slow).await, 200);
    let begun = std::time::Instant::now();
    assert_eq!(newest().await, (json!(20), 20));
    assert!(begun.elapsed() >= std::time::Duration::from_millis(600));
}

#[tokio::test]
async fn a_stalled_symbol_is_silent_while_others_and_the_market_go_on() {
    let logs = vec![even_log("TRXUSDT", 200, 500), even_log("ADAUSDT", 200, 500)];
    let running = start(live(logs, 1)).await;
    running.control(&Command::Stall { symbol: "TRXUSDT".into(), stalled: true }).unwrap();
    let mut client = Client::connect(&running, "/ws/trxusdt@trade/adausdt@trade").await;
    for frame in client.frames(200).await {
        assert_eq!(frame["s"], "ADAUSDT");
    }
    running.wait_until_done().await;
    running.control(&Command::Stall { symbol: "TRXUSDT".into(), stalled: false }).unwrap();
    client.assert_silent().await;
    assert_eq!(running.status().symbols[0].last_played_id, Some(200));
}

#[tokio::test]
async fn a_stalled_symbol_stands_still_where_readers_set_the_pace() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 20, 500)])).await;
    running.control(&Command::Stall { symbol: "TRXUSDT".into(), stalled: true }).unwrap();
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    client.assert_silent().await;
    running.control(&Command::Stall { symbol: "TRXUSDT".into(), stalled: false }).unwrap();
    assert_eq!(client.frames(20).await.iter().map(id).collect::<Vec<_>>(), (1..=20).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_halt_stops_trading_and_ids_go_on_without_a_hole_at_later_times() {
    let running = start(live(vec![even_log("TRXUSDT", 20, 10_000)], 1)).await;
    let rest = Rest::new(&running);
    let status = |status| Command::SetStatus { symbol: "TRXUSDT".into(), status };
    running.control(&status(SymbolStatus::Halt)).unwrap();
    let mut client = Client::connect(&running, "/ws/trxusdt@trade?timeUnit=MICROSECOND").await;
    let info = rest.body("/api/v3/exchangeInfo?symbol=TRXUSDT").await;
    assert_eq!(info["symbols"][0]["status"], "HALT");
    let halted_until_us = START_US + 500_000;
    wait_until(&running, |status| status.server_time_us > halted_until_us).await;
    client.assert_silent().await;
    running.control(&status(SymbolStatus::Trading)).unwrap();
    let frames = client.frames(20).await;
    assert_eq!(frames.iter().map(id).collect::<Vec<_>>(), (1..=20).collect::<Vec<i64>>());
    assert!(frames[0]["T"].as_i64().unwrap() >= halted_until_us);
}

#[tokio::test]
async fn connections_and_rest_can_be_refused_for_a_while() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let rest = Rest::new(&running);
    assert_eq!(
        rest.post("/control/command", &json!({"command": "refuse_connections", "for_ms": 60_000})).await,
        200
    );
    let off = json!({"command": "fail_rest", "status": 429, "for_ms": 60_000});
    assert_eq!(rest.post("/control/command", &off).await, 200);
    assert_eq!(Client::refused(&running, "/ws").await, 503);
    let refused = rest.get("/api/v3/ping").await;
    assert_eq!(refused.status, 429);
    assert_eq!(running.status().rate_limited_requests, 0, "it was no fault of the client's");
    assert!((1..=60).contains(&refused.retry_after.unwrap()));
    assert_eq!(
        rest.post("/control/command", &json!({"command": "refuse_connections", "for_ms": 0})).await,
        200
    );
    assert_eq!(
        rest.post("/control/command", &json!({"command": "fail_rest", "status": 503, "for_ms": 0})).await,
        200
    );
    Client::connect(&running, "/ws").await;
    assert_eq!(rest.get("/api/v3/ping").await.status, 200);
}

#[tokio::test]
async fn a_restart_closes_everything_and_comes_back() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let rest = Rest::new(&running);
    let mut client = Client::connect(&running, "/ws").await;
    wait_until(&running, |status| status.connections == 1).await;
    running.control(&Command::Restart { down_ms: 500 }).unwrap();
    assert_eq!(client.json().await["e"], "serverShutdown");
    assert_eq!(client.closed().await.unwrap().code, CloseCode::Away);
    assert_eq!(rest.get("/api/v3/ping").await.status, 503);
    let back = async {
        while rest.get("/api/v3/ping").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::common::PATIENCE, back).await.unwrap();
    Client::connect(&running, "/ws").await;
}

#[tokio::test]
async fn commands_that_cannot_be_understood_are_refused() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let rest = Rest::new(&running);
    for wrong in
        [json!({"command": "explode"}), json!({"command": "stall", "symbol": "NOSUCH", "stalled": true})]
    {
        assert_eq!(rest.post("/control/command", &wrong).await, 400);
    }
    let status = rest.body("/control/status").await;
    assert_eq!(status, serde_json::to_value(running.status()).unwrap());
}

#[tokio::test]
async fn a_kline_is_altered_in_one_field_and_nowhere_else() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 4, 60_000_000)])).await;
    Client::connect(&running, "/ws/trxusdt@trade").await.frames(4).await;
    let rest = Rest::new(&running);
    let klines = "/api/v3/klines?symbol=TRXUSDT&interval=1m";
    let before = rest.body(klines).await;
    let alter = |field, value: &str| Command::AlterKline {
        symbol: "TRXUSDT".into(),
        interval: "1m".into(),
        open_time_us: START_US + 120_000_000,
        field,
        value: value.into(),
    };
    running.control(&alter(KlineField::Volume, "7.5")).unwrap();
    running.control(&alter(KlineField::TradeCount, "3")).unwrap();
    let mut expected = before.clone();
    (expected[2][5], expected[2][8]) = (json!("7.50000000"), json!(3));
    assert_eq!(rest.body(klines).await, expected);
    assert_ne!(before, expected);
    let seconds = rest.body("/api/v3/klines?symbol=TRXUSDT&interval=1s&limit=1").await;
    assert_eq!(seconds[0][5], "0.50000000");
    let refused = running.control(&alter(KlineField::TradeCount, "3.5")).unwrap_err();
    assert_eq!(refused.to_string(), r#"value "3.5" is not a number that the field can have"#);
}

#[tokio::test]
async fn late_klines_lack_what_was_traded_last() {
    // A pair each second.
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 121, 500_000)])).await;
    Client::connect(&running, "/ws/trxusdt@trade").await.frames(121).await;
    let rest = Rest::new(&running);
    let counts = async || {
        let rows = rest.body("/api/v3/klines?symbol=TRXUSDT&interval=1m").await;
        rows.as_array().unwrap().iter().map(|row| row[8].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(counts().await, [120, 1]);
    let delay = |lag_us| Command::DelayKlines { symbol: "TRXUSDT".into(), lag_us };
    running.control(&delay(10_000_000)).unwrap();
    assert_eq!(counts().await, [102]);
    running.control(&delay(0)).unwrap();
    assert_eq!(counts().await, [120, 1]);
}
