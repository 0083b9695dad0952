//! The program itself: its arguments, its answers over HTTP and its end.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use crds::worker_status::{ProducerStatus, SymbolState};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::broker::{PATIENCE, TestBroker, TopicReader};
use crate::exchange::{even_log, live, start};
use crate::producer::settings;

/// An address of ours that nobody listens on.
async fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

async fn terminate(mut child: Child) -> std::process::ExitStatus {
    let process_id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &process_id]).status().await.unwrap().success());
    tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap()
}

/// Asks until the answer's status is `expected`, and returns its text.
async fn wait_for_answer(url: &str, expected: u16) -> String {
    let answered = async {
        loop {
            if let Ok(response) = reqwest::get(url).await
                && response.status().as_u16() == expected
            {
                return response.text().await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered)
        .await
        .unwrap_or_else(|_| panic!("{url} never answered {expected}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn produce_answers_and_drains_on_a_signal() {
    let exchange = start(live(vec![even_log("BTCUSDT", 60_000, 1_000)])).await;
    let broker = TestBroker::start();
    let topic = TopicReader::start(&broker);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let settings = settings(&exchange, &["BTCUSDT"], &broker.bootstrap_servers);
    file.write_all(serde_yaml::to_string(&settings).unwrap().as_bytes()).unwrap();
    let address = free_address().await;
    let child = Command::new(env!("CARGO_BIN_EXE_worker"))
        .args(["produce", "--listen", &address, "--settings"])
        .arg(file.path())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    wait_for_answer(&format!("http://{address}/livez"), 200).await;
    topic.wait_for("BTCUSDT", 500).await;
    wait_for_answer(&format!("http://{address}/readyz"), 200).await;
    let status = wait_for_answer(&format!("http://{address}/status"), 200).await;
    let status: ProducerStatus = serde_json::from_str(&status).unwrap();
    assert_eq!(status.symbols["BTCUSDT"].state, SymbolState::Streaming);
    let metrics = wait_for_answer(&format!("http://{address}/metrics"), 200).await;
    for line in [
        "cryptopipeline_producer_records_published_total ",
        "cryptopipeline_producer_last_trade_age_seconds{symbol=\"BTCUSDT\"} ",
        "cryptopipeline_producer_exchange_available 1",
        "cryptopipeline_producer_broker_available 1",
        "cryptopipeline_producer_request_weight_used ",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }

    assert_eq!(terminate(child).await.code(), Some(0));
    // What was read before the signal is on the topic, without a hole.
    let ids = topic.ids("BTCUSDT");
    assert_eq!(ids, (1..=i64::try_from(ids.len()).unwrap()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_read_end_it_with_the_reason() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"pipeline: {namespace: local, name: test, uid: '1'}\nsorce: {}\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_worker"))
        .args(["produce", "--settings"])
        .arg(file.path())
        .stderr(Stdio::piped())
        .output()
        .await
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("is not valid") && message.contains("sorce"), "{message}");
}
