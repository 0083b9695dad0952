//! What the exchange does not allow its clients.

use std::time::Duration;

use crate::common::{Client, as_fast_as_read, even_log, live, start, wait_until};
use exchange_sim::{Limits, SimulatorConfig};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

#[tokio::test]
async fn a_sixth_message_in_a_second_closes_the_connection() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let mut client = Client::connect(&running, "/ws").await;
    client.send_message(Message::Ping("x".into())).await;
    client.send_message(Message::Pong("unsolicited".into())).await;
    for _ in 0..4 {
        client.send(&json!({"method": "LIST_SUBSCRIPTIONS", "id": 1})).await;
    }
    assert_eq!(client.closed().await.unwrap().code, CloseCode::Policy);
}

#[tokio::test]
async fn one_stream_too_many_closes_the_connection() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let names: Vec<String> = (0..1_025).map(|number| format!("coin{number}@trade")).collect();
    let mut client = Client::connect(&running, "/ws").await;
    assert_eq!(client.request("SUBSCRIBE", json!(names[..1_024])).await["result"], json!(null));
    client.send(&json!({"method": "SUBSCRIBE", "params": names[1_024..], "id": 1})).await;
    assert_eq!(client.closed().await.unwrap().code, CloseCode::Policy);
}

#[tokio::test]
async fn connection_attempts_are_counted() {
    let mut config = as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)]);
    config.limits = Limits { connection_attempts: 2, ..Limits::default() };
    let running = start(config).await;
    let _clients = [Client::connect(&running, "/ws").await, Client::connect(&running, "/stream").await];
    assert_eq!(Client::refused(&running, "/ws").await, 429);
}

#[tokio::test]
async fn wrong_addresses_are_refused() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    assert_eq!(Client::refused(&running, "/ws/trxusdt@trade?timeUnit=FORTNIGHT").await, 400);
    assert_eq!(Client::refused(&running, "/streams").await, 404);
    assert_eq!(crate::common::Rest::new(&running).get("/ws/trxusdt@trade").await.status, 400);
}

#[tokio::test]
async fn a_reader_that_pauses_is_waited_for_where_readers_set_the_pace() {
    let config = SimulatorConfig {
        ping_interval: Duration::from_millis(20),
        pong_timeout: Duration::from_millis(50),
        // Pongs count as messages.
        limits: Limits { messages_per_second: 1_000, ..Limits::default() },
        ..as_fast_as_read(vec![even_log("TRXUSDT", 5_000, 1)])
    };
    let running = start(config).await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    running.wait_until_done().await;
    // All is on its way, with pings behind it, for many times as long as one may stay unanswered elsewhere.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for id in 1..=5_000 {
        assert_eq!(client.json().await["t"], id);
    }
    client.assert_silent().await;
}

#[tokio::test]
async fn pings_come_and_one_who_does_not_answer_is_dropped() {
    let config = SimulatorConfig {
        ping_interval: Duration::from_millis(20),
        pong_timeout: Duration::from_millis(200),
        // Pongs count as messages.
        limits: Limits { messages_per_second: 1_000, ..Limits::default() },
        ..as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])
    };
    let running = start(config).await;
    let mut client = Client::connect(&running, "/ws").await;
    // Reading answers pings, so this one lives.
    for _ in 0..20 {
        assert!(matches!(client.message().await, Some(Message::Ping(_))));
    }
    assert_eq!(running.status().connections, 1);
    // Not reading does not.
    wait_until(&running, |status| status.connections == 0).await;
}

#[tokio::test]
async fn a_connection_ends_with_its_lifetime() {
    let config = SimulatorConfig {
        connection_lifetime: Duration::from_millis(100),
        ..as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])
    };
    let running = start(config).await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    assert_eq!(client.closed().await.unwrap().code, CloseCode::Away);
}

#[tokio::test]
async fn a_slow_reader_is_cut_off_and_holds_nobody_up() {
    let config =
        SimulatorConfig { max_backlog_trades: 5_000, ..live(vec![even_log("TRXUSDT", 400_000, 1)], 1) };
    let running = start(config).await;
    let mut quick = Client::connect(&running, "/ws").await;
    let slow = Client::connect(&running, "/ws/trxusdt@trade").await;
    quick.subscribe(&["trxusdt@aggTrade"]).await;
    running.wait_until_done().await;
    wait_until(&running, |status| status.connections < 2).await;
    drop(slow);
}

#[tokio::test]
async fn a_slow_reader_sets_the_pace_where_readers_do() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 400_000, 1)])).await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    // What fits into the network's buffers is played, and no more.
    let mut played = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now_played = running.status().symbols[0].played;
        if now_played == played {
            break;
        }
        played = now_played;
    }
    assert!(played < 400_000, "all was played without a reader");
    for id in 1..=400_000 {
        assert_eq!(client.json().await["t"], id);
    }
    assert!(running.status().done);
}
