//! The streams as a client sees them.

use crate::common::{Client, START_US, as_fast_as_read, even_log, live, start};
use serde_json::{Value, json};

fn ids(frames: &[Value]) -> Vec<i64> {
    frames.iter().map(|frame| frame["t"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_raw_stream_has_bare_payloads_in_milliseconds() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 4, 500)])).await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    let frames = client.frames(4).await;
    assert_eq!(ids(&frames), [1, 2, 3, 4]);
    let mut first = frames[0].clone();
    let event_time = first.as_object_mut().unwrap().remove("E").unwrap().as_i64().unwrap();
    assert!((START_US / 1_000..START_US / 1_000 + 10).contains(&event_time), "{event_time}");
    assert_eq!(
        first,
        json!({
            "e": "trade", "s": "TRXUSDT", "t": 1, "p": "101.50000000", "q": "0.25000000",
            "T": START_US / 1_000, "m": false, "M": true
        })
    );
}

#[tokio::test]
async fn a_combined_stream_wraps_its_payloads_and_can_have_microseconds() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 4, 500)])).await;
    let path = "/stream?streams=trxusdt%40trade/trxusdt@aggTrade&timeUnit=MICROSECOND";
    let mut client = Client::connect(&running, path).await;
    let frames = client.frames(6).await;
    let streams: Vec<&str> = frames.iter().map(|frame| frame["stream"].as_str().unwrap()).collect();
    let [trade, aggregate] = ["trxusdt@trade", "trxusdt@aggTrade"];
    assert_eq!(streams, [trade, trade, aggregate, trade, trade, aggregate]);
    assert_eq!(frames[4]["data"]["T"], START_US + 1_000);
    let last = &frames[5]["data"];
    assert_eq!(
        [&last["a"], &last["f"], &last["l"], &last["q"], &last["T"], &last["m"]],
        [&json!(2), &json!(3), &json!(4), &json!("0.50000000"), &json!(START_US + 1_000), &json!(true)]
    );
    assert!(last["E"].as_i64().unwrap() > START_US + 1_000);
}

#[tokio::test]
async fn several_symbols_come_in_the_order_of_time() {
    let logs = vec![even_log("TRXUSDT", 2_000, 700), even_log("ADAUSDT", 3_000, 300)];
    let running = start(as_fast_as_read(logs)).await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade/adausdt@trade?timeUnit=microsecond").await;
    let frames = client.frames(5_000).await;
    assert!(frames.windows(2).all(|pair| pair[0]["T"].as_i64() <= pair[1]["T"].as_i64()));
    for (symbol, count) in [("TRXUSDT", 2_000), ("ADAUSDT", 3_000)] {
        let of_symbol: Vec<Value> = frames.iter().filter(|frame| frame["s"] == symbol).cloned().collect();
        assert_eq!(ids(&of_symbol), (1..=count).collect::<Vec<i64>>());
    }
    assert!(running.status().done);
}

#[tokio::test]
async fn subscriptions_are_made_listed_and_ended_by_messages() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let mut client = Client::connect(&running, "/ws/0").await;
    client.subscribe(&["trxusdt@trade", "nosuch@trade", "trxusdt@trade"]).await;
    assert_eq!(ids(&client.frames(2).await), [1, 2]);
    let listed = client.request("LIST_SUBSCRIPTIONS", json!([])).await;
    assert_eq!(listed["result"], json!(["0", "trxusdt@trade", "nosuch@trade"]));
    client.request("UNSUBSCRIBE", json!(["nosuch@trade"])).await;
    let listed = client.request("LIST_SUBSCRIPTIONS", json!([])).await;
    assert_eq!(listed["result"], json!(["0", "trxusdt@trade"]));
    assert_eq!(running.status().subscriptions, 2);
}

#[tokio::test]
async fn the_envelope_is_a_property_of_the_connection() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let mut client = Client::connect(&running, "/ws").await;
    assert_eq!(client.request("GET_PROPERTY", json!(["combined"])).await["result"], false);
    assert_eq!(client.request("SET_PROPERTY", json!(["combined", true])).await["result"], Value::Null);
    client.subscribe(&["trxusdt@trade"]).await;
    assert_eq!(client.json().await["stream"], "trxusdt@trade");
}

#[tokio::test]
async fn wrong_messages_get_nested_errors_and_end_nothing() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let mut client = Client::connect(&running, "/stream").await;
    let refused = client.request("SUBSCRIBE", json!(["trxusdt"])).await;
    assert_eq!(refused, json!({"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 7}));
    client.send_text("what?").await;
    assert_eq!(client.json().await["error"]["code"], 3);
    client.subscribe(&["trxusdt@trade"]).await;
    assert_eq!(client.json().await["data"]["t"], 1);
}

#[tokio::test]
async fn an_unknown_symbol_is_acknowledged_and_silent() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 2, 500)])).await;
    let mut client = Client::connect(&running, "/ws/nosuchusdt@trade/TRXUSDT@trade").await;
    client.subscribe(&["nothing@trade"]).await;
    client.assert_silent().await;
    assert_eq!(running.status().symbols[0].played, 0);
}

#[tokio::test]
async fn a_symbol_begins_with_its_first_subscription_when_readers_set_the_pace() {
    let logs = vec![even_log("TRXUSDT", 2_000, 500), even_log("ADAUSDT", 2_000, 500)];
    let running = start(as_fast_as_read(logs)).await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    assert_eq!(ids(&client.frames(2_000).await), (1..=2_000).collect::<Vec<i64>>());
    assert_eq!(running.status().symbols[1].played, 0);
    client.subscribe(&["adausdt@trade"]).await;
    assert_eq!(ids(&client.frames(2_000).await), (1..=2_000).collect::<Vec<i64>>());
}

#[tokio::test]
async fn what_passes_without_a_subscription_is_never_sent() {
    let running = start(live(vec![even_log("TRXUSDT", 2_000, 500)], 1)).await;
    let mut first = Client::connect(&running, "/ws/trxusdt@trade").await;
    let seen = ids(&first.frames(10).await);
    assert_eq!(seen, (1..=10).collect::<Vec<i64>>());
    drop(first);
    crate::common::wait_until(&running, |status| status.connections == 0).await;
    let missed_up_to = running.status().symbols[0].last_played_id.unwrap();
    let mut second = Client::connect(&running, "/ws/trxusdt@trade").await;
    let resumed = second.json().await["t"].as_i64().unwrap();
    assert!(resumed > missed_up_to, "{resumed} was sent again");
    running.wait_until_done().await;
    let rest = crate::common::Rest::new(&running);
    let rows = rest.body("/api/v3/historicalTrades?symbol=TRXUSDT&fromId=1").await;
    assert_eq!(rows.as_array().unwrap().len(), 500);
}

#[tokio::test]
async fn recordings_of_different_days_are_played_side_by_side() {
    let later: Vec<exchange_sim::Trade> = (0..20)
        .map_while(|index| even_log("ADAUSDT", 20, 500).get(index))
        .map(|trade| exchange_sim::Trade { time_us: trade.time_us + 300 * 86_400_000_000, ..trade })
        .collect();
    let logs = || vec![even_log("TRXUSDT", 20, 500), exchange_sim::TradeLog::recorded("ADAUSDT", &later)];
    for config in [live(logs(), 1), as_fast_as_read(logs())] {
        let running = start(config).await;
        let mut client =
            Client::connect(&running, "/ws/trxusdt@trade/adausdt@trade?timeUnit=MICROSECOND").await;
        let frames = client.frames(40).await;
        let symbols: Vec<&str> = frames.iter().map(|frame| frame["s"].as_str().unwrap()).collect();
        assert_eq!(symbols[..4], ["TRXUSDT", "TRXUSDT", "ADAUSDT", "ADAUSDT"]);
        let last = frames.iter().rfind(|frame| frame["s"] == "ADAUSDT").unwrap();
        assert_eq!(last["T"], later[19].time_us);
        running.wait_until_done().await;
        let rest = crate::common::Rest::new(&running);
        let candles = rest.body("/api/v3/klines?symbol=TRXUSDT&interval=1m").await;
        assert_eq!(candles.as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_live_market_waits_for_nobody() {
    let config = exchange_sim::SimulatorConfig {
        wait_for_subscriber: false,
        ..live(vec![even_log("TRXUSDT", 20, 500)], 10)
    };
    let running = start(config).await;
    running.wait_until_done().await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    client.assert_silent().await;
    let rest = crate::common::Rest::new(&running);
    assert_eq!(rest.body("/api/v3/trades?symbol=TRXUSDT").await.as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn all_subscribers_get_the_same_market() {
    let running = start(live(vec![even_log("TRXUSDT", 1_000, 500)], 1)).await;
    let mut clients = [Client::connect(&running, "/ws").await, Client::connect(&running, "/ws").await];
    for client in &mut clients {
        client.subscribe(&["trxusdt@trade"]).await;
    }
    let mut last_frames = Vec::new();
    for client in &mut clients {
        let mut frame = client.json().await;
        while frame["t"] != 1_000 {
            let next = client.json().await;
            assert_eq!(next["t"].as_i64().unwrap(), frame["t"].as_i64().unwrap() + 1);
            frame = next;
        }
        last_frames.push(frame);
    }
    assert_eq!(last_frames[0], last_frames[1]);
}

#[tokio::test]
async fn connections_stay_open_and_quiet_at_the_end_of_the_log() {
    let running = start(live(vec![even_log("TRXUSDT", 2, 500)], 1)).await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    client.frames(2).await;
    running.wait_until_done().await;
    client.assert_silent().await;
    assert_eq!(running.status().connections, 1);
}

#[tokio::test]
async fn event_time_is_the_time_of_sending_when_the_market_follows_the_clock() {
    let config = exchange_sim::SimulatorConfig {
        start: exchange_sim::Start::Now,
        ..live(vec![even_log("TRXUSDT", 10, 1_000)], 1)
    };
    let running = start(config).await;
    let before_us = now_us();
    let mut client = Client::connect(&running, "/ws/trxusdt@trade?timeUnit=MICROSECOND").await;
    let frames = client.frames(10).await;
    let shift_us = running.status().symbols[0].shift_us;
    assert_eq!(shift_us % 60_000_000, 0);
    for frame in &frames {
        let event_us = frame["E"].as_i64().unwrap();
        assert!(before_us <= event_us && event_us <= now_us());
    }
    assert_eq!(frames[0]["T"], START_US + shift_us);
    assert!(before_us - (START_US + shift_us) < 61_000_000);
}

fn now_us() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since_1970.as_micros()).unwrap()
}

#[tokio::test]
async fn candles_close_once_with_all_their_trades() {
    // 240 trades, two in the same microsecond, one pair a second: two minutes.
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 240, 500_000)])).await;
    let mut client = Client::connect(&running, "/stream?streams=trxusdt@kline_1m/trxusdt@trade").await;
    let mut closed = Vec::new();
    let mut trades = 0;
    while trades < 240 {
        let frame = client.json().await;
        match frame["stream"].as_str().unwrap() {
            "trxusdt@trade" => trades += 1,
            _ if frame["data"]["k"]["x"] == true => closed.push(frame["data"]["k"].clone()),
            _ => assert_eq!(frame["data"]["e"], "kline"),
        }
    }
    assert_eq!(closed.len(), 1);
    assert_eq!(
        closed[0],
        json!({
            "t": START_US / 1_000, "T": START_US / 1_000 + 59_999, "s": "TRXUSDT", "i": "1m", "f": 1, "L": 120,
            "o": "101.50000000", "c": "100.50000000", "h": "109.50000000", "l": "100.50000000",
            "v": "30.00000000", "n": 120, "x": true, "q": "3150.00000000", "V": "15.00000000",
            "Q": "1582.50000000", "B": "0"
        })
    );
}

#[tokio::test]
async fn tickers_speak_every_second_of_the_market() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 20, 500_000)])).await;
    let mut client = Client::connect(&running, "/stream?streams=trxusdt@miniTicker/trxusdt@ticker").await;
    let frames = client.frames(2).await;
    assert_eq!(frames[0]["data"]["e"], "24hrMiniTicker");
    assert_eq!(frames[1]["data"]["e"], "24hrTicker");
    assert_eq!([&frames[1]["data"]["n"], &frames[1]["data"]["F"]], [&json!(2), &json!(1)]);
    running.wait_until_done().await;
}
