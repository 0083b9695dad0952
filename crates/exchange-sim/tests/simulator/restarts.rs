//! Ids that begin anew, as after a wipe: whoever looks sees a market without a past.

use std::time::Duration;

use crate::common::{Client, Rest, START_US, as_fast_as_read, even_log, live, start};
use exchange_sim::{Command, Running, SimulatorConfig, SymbolStatus, Trade, TradeLog};
use serde_json::{Value, json};

const TRADES: i64 = 400;

fn column(rows: &Value, name: &str) -> Vec<i64> {
    rows.as_array().unwrap().iter().map(|row| row[name].as_i64().unwrap()).collect()
}

fn set_status(running: &Running, status: SymbolStatus) {
    running.control(&Command::SetStatus { symbol: "TRXUSDT".into(), status }).unwrap();
}

/// Plays some trades of a market that goes by the clock, and halts it. The id of the last one.
async fn play_some(running: &Running, client: &mut Client) -> i64 {
    client.frames(20).await;
    set_status(running, SymbolStatus::Halt);
    running.status().symbols[0].last_played_id.unwrap()
}

#[tokio::test]
async fn streams_and_rest_know_the_new_ids_and_nothing_of_the_trades_before() {
    // A pair each ten milliseconds.
    let running = start(live(vec![even_log("TRXUSDT", TRADES, 5_000)], 1)).await;
    let rest = Rest::new(&running);
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    let before = play_some(&running, &mut client).await;
    client.frames(usize::try_from(before).unwrap() - 20).await;
    let restart = json!({"command": "restart_ids", "symbol": "TRXUSDT"});
    assert_eq!(rest.post("/control/command", &restart).await, 200);
    for path in ["trades?", "historicalTrades?fromId=1&", "aggTrades?", "klines?interval=1s&"] {
        assert_eq!(rest.body(&format!("/api/v3/{path}symbol=TRXUSDT")).await, json!([]), "{path}");
    }
    for path in ["price", "24hr"] {
        assert_eq!(rest.body(&format!("/api/v3/ticker/{path}")).await, json!([]), "{path}");
    }
    let progress = running.status().symbols.remove(0);
    assert_eq!((progress.first_id, progress.last_id), (Some(1), Some(TRADES - before)));
    assert_eq!((progress.last_played_id, progress.id_restarts), (None, 1));

    client.subscribe(&["trxusdt@aggTrade"]).await;
    let hole = Command::WithholdTrades { symbol: "TRXUSDT".into(), first_id: 3, last_id: 4 };
    running.control(&hole).unwrap();
    set_status(&running, SymbolStatus::Trading);
    let frames = client.frames(9).await;
    let ids = |name: &str| frames.iter().filter_map(|frame| frame[name].as_i64()).collect::<Vec<_>>();
    assert_eq!((ids("t"), ids("a")), (vec![1, 2, 5, 6, 7, 8], vec![1, 3, 4]));
    let from_two = rest.body("/api/v3/historicalTrades?symbol=TRXUSDT&fromId=2&limit=3").await;
    assert_eq!(column(&from_two, "id"), [2, 3, 4]);
    let aggregates = rest.body("/api/v3/aggTrades?symbol=TRXUSDT&fromId=2&limit=1").await;
    assert_eq!([&aggregates[0]["a"], &aggregates[0]["f"], &aggregates[0]["l"]], [2, 3, 4]);
    running.wait_until_done().await;
    let klines = rest.body("/api/v3/klines?symbol=TRXUSDT&interval=1d").await;
    assert_eq!(klines[0][8], TRADES - before);
    let day = rest.body("/api/v3/ticker/24hr?symbol=TRXUSDT").await;
    assert_eq!([&day["firstId"], &day["lastId"]], [1, TRADES - before]);
}

#[tokio::test]
async fn the_written_log_goes_on_with_the_new_ids_and_later_times() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = live(vec![even_log("TRXUSDT", TRADES, 5_000)], 1);
    config.write_log = Some(folder.path().to_owned());
    let running = start(config).await;
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    let before = play_some(&running, &mut client).await;
    running.control(&Command::RestartIds { symbol: "TRXUSDT".into(), first_id: 7 }).unwrap();
    set_status(&running, SymbolStatus::Trading);
    running.wait_until_done().await;
    running.stop().await.unwrap();
    let written = std::fs::read_to_string(folder.path().join("TRXUSDT-trades-2026-01-01.csv")).unwrap();
    let number = |row: &str, at: usize| row.split(',').nth(at).unwrap().parse::<i64>().unwrap();
    let ids: Vec<i64> = written.lines().map(|row| number(row, 0)).collect();
    assert_eq!(ids, (1..=before).chain(7..7 + TRADES - before).collect::<Vec<_>>());
    assert!(written.lines().map(|row| number(row, 4)).is_sorted());
}

#[tokio::test]
async fn an_aggregate_that_a_restart_cuts_is_sent_without_its_first_part() {
    let trades = [1, 2, 3].map(|id| Trade {
        id,
        price: "2".parse().unwrap(),
        quantity: "3".parse().unwrap(),
        time_us: START_US + id * 3_600_000_000,
        aggregate_id: 7,
        buyer_is_maker: false,
    });
    let config = as_fast_as_read(vec![TradeLog::recorded("TRXUSDT", &trades)]);
    // The log begins with the first trade, which alone lies in the past.
    let running = start(SimulatorConfig { past: Duration::from_secs(60), ..config }).await;
    running.control(&Command::RestartIds { symbol: "TRXUSDT".into(), first_id: 7 }).unwrap();
    let aggregate = Client::connect(&running, "/ws/trxusdt@aggTrade").await.json().await;
    assert_eq!([&aggregate["a"], &aggregate["f"], &aggregate["l"]], [7, 7, 8]);
    assert_eq!(aggregate["q"], "6.00000000");
}

#[tokio::test]
async fn the_daily_files_are_forgotten_too() {
    // A pair each hour, for four days; half of them lie in the past.
    let past = Duration::from_secs(48 * 3_600);
    let log = even_log("TRXUSDT", 192, 1_800_000_000);
    let running = start(SimulatorConfig { past, ..as_fast_as_read(vec![log]) }).await;
    let rest = Rest::new(&running);
    let file = |date| format!("/data/spot/daily/trades/TRXUSDT/TRXUSDT-trades-{date}.zip.CHECKSUM");
    assert_eq!(rest.get(&file("2026-01-02")).await.status, 200);
    running.control(&Command::RestartIds { symbol: "TRXUSDT".into(), first_id: 1 }).unwrap();
    assert_eq!(rest.get(&file("2026-01-02")).await.status, 404);
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    let first = client.json().await;
    assert_eq!(first["t"], 1);
    assert!(first["T"].as_i64().unwrap() * 1_000 > START_US + 48 * 3_600_000_000);
    running.wait_until_done().await;
    assert_eq!(rest.get(&file("2026-01-03")).await.status, 200);
}

#[tokio::test]
async fn a_restart_that_cannot_be_is_refused_and_says_why() {
    let running = start(as_fast_as_read(vec![even_log("TRXUSDT", 4, 500)])).await;
    let refused = |symbol: &str, first_id| {
        let command = Command::RestartIds { symbol: symbol.into(), first_id };
        running.control(&command).unwrap_err().to_string()
    };
    assert_eq!(refused("NOSUCH", 1), r#"symbol "NOSUCH" is not among the symbols that are played"#);
    for first_id in [-1, i64::MAX] {
        assert_eq!(refused("TRXUSDT", first_id), format!("first_id {first_id} is not between 0 and 2^52"));
    }
    let mut client = Client::connect(&running, "/ws/trxusdt@trade").await;
    client.frames(4).await;
    running.wait_until_done().await;
    assert_eq!(refused("TRXUSDT", 1), r#"no trade of symbol "TRXUSDT" is left to be played"#);
    assert_eq!(running.status().symbols[0].id_restarts, 0);
}
