//! Starting and stopping the simulator, in a program of its own or inside a test.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use smol_str::SmolStr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::SimulatorConfig;
use crate::control::{self, Command, CommandError, Status};
use crate::exchange::Exchange;
use crate::log::{TradeLog, WriteLogError};
use crate::playback::player;
use crate::{dumps, rest, websocket};

/// How long connections are given to take notice of the end.
const STOPPING_TIME: Duration = Duration::from_secs(2);

/// The simulator could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nothing to play.
    #[error("there is no trade log to play")]
    NoLog,
    /// A log holds no trade.
    #[error("the trade log of symbol {0:?} is empty")]
    EmptyLog(SmolStr),
    /// Two logs are of the same symbol.
    #[error("there are two trade logs of symbol {0:?}")]
    RepeatedSymbol(SmolStr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for the written log cannot be made.
    #[error(transparent)]
    WriteLog(WriteLogError),
}

/// The simulated exchange.
#[derive(Debug)]
pub struct Simulator;

/// A simulator that runs. Dropping it ends it at once; [`Running::stop`] ends it properly.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    exchange: Arc<Exchange>,
    stop: CancellationToken,
    server: JoinHandle<()>,
    player: JoinHandle<()>,
    /// None once it has ended.
    log_flusher: Option<JoinHandle<Result<(), WriteLogError>>>,
}

impl Simulator {
    /// Starts the simulator on the current runtime.
    ///
    /// # Errors
    /// Where there is nothing to play, the address is taken or the written log has no place.
    pub async fn start(config: SimulatorConfig) -> Result<Running, StartError> {
        check_logs(&config.logs)?;
        if let Some(directory) = &config.write_log {
            std::fs::create_dir_all(directory)
                .map_err(|source| StartError::WriteLog(WriteLogError { path: directory.clone(), source }))?;
        }
        let listen_error = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let exchange = Arc::new(Exchange::new(config));
        let stop = CancellationToken::new();
        Ok(Running {
            address,
            server: tokio::spawn(serve(listener, exchange.clone(), stop.clone())),
            player: tokio::spawn(player::play(exchange.clone(), stop.clone())),
            log_flusher: Some(tokio::spawn(player::flush_written_logs(exchange.clone(), stop.clone()))),
            exchange,
            stop,
        })
    }
}

fn check_logs(logs: &[TradeLog]) -> Result<(), StartError> {
    if logs.is_empty() {
        return Err(StartError::NoLog);
    }
    let mut symbols = HashSet::new();
    for log in logs {
        if log.first().is_none() {
            return Err(StartError::EmptyLog(log.symbol().clone()));
        }
        if !symbols.insert(log.symbol()) {
            return Err(StartError::RepeatedSymbol(log.symbol().clone()));
        }
    }
    Ok(())
}

async fn serve(listener: TcpListener, exchange: Arc<Exchange>, stop: CancellationToken) {
    let listener = listener.tap_io(|connection| {
        // Frames are handed over in batches, so nothing is gained by waiting for more. A failure costs latency only.
        let _ = connection.set_nodelay(true);
    });
    let routes = Router::new()
        .merge(websocket::routes())
        .merge(rest::routes(&exchange.config))
        .merge(dumps::routes())
        .merge(control::routes())
        .with_state(exchange)
        .into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the server ended");
    }
}

impl Running {
    /// Where it listens: streams, REST and control alike.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of the streams: `ws://127.0.0.1:1234`.
    #[must_use]
    pub fn websocket_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The base of REST and control: `http://127.0.0.1:1234`.
    #[must_use]
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Carries out `command`, as `POST /control/command` does.
    ///
    /// # Errors
    /// Where its symbol is not played.
    pub fn control(&self, command: &Command) -> Result<(), CommandError> {
        control::apply(&self.exchange, command)
    }

    /// What has been played so far, as `GET /control/status` says.
    #[must_use]
    pub fn status(&self) -> Status {
        control::read_status(&self.exchange)
    }

    /// Waits until every log has been played to its end.
    pub async fn wait_until_done(&self) {
        let mut wakes = self.exchange.wakes();
        while !self.exchange.is_done() {
            // The sender lives as long as self, so waiting cannot fail.
            let _ = wakes.changed().await;
        }
    }

    /// Waits until a log that is being written cannot be written any more; for ever if all goes well.
    pub async fn failure(&mut self) -> WriteLogError {
        if let Some(log_flusher) = &mut self.log_flusher {
            let ended = log_flusher.await;
            self.log_flusher = None;
            if let Ok(Err(error)) = ended {
                return error;
            }
        }
        std::future::pending().await
    }

    /// Ends properly: `serverShutdown` to all connections, and the written log complete on disk.
    ///
    /// # Errors
    /// Where the log could not be written.
    pub async fn stop(mut self) -> Result<(), WriteLogError> {
        self.stop.cancel();
        self.exchange.connections.announce_shutdown(Duration::ZERO);
        self.exchange.connection_tasks.close();
        let ended = async {
            self.exchange.connection_tasks.wait().await;
            let _ = (&mut self.server).await;
        };
        if tokio::time::timeout(STOPPING_TIME, ended).await.is_err() {
            // Those who take no notice. What they were being sent is played when their tasks have ended.
            self.exchange.connections.cut_all();
            self.exchange.connection_tasks.wait().await;
        }
        let _ = (&mut self.player).await;
        if let Some(log_flusher) = self.log_flusher.take()
            && let Ok(flushed) = log_flusher.await
        {
            flushed?;
        }
        // Nobody plays any more.
        self.exchange.markets().iter().try_for_each(|market| market.flush_written_log())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.exchange.connections.cut_all();
        self.server.abort();
        self.player.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::even_log;

    #[test]
    fn logs_that_cannot_be_played_are_refused() {
        let empty = || TradeLog::recorded("AUSDT", &[]);
        assert!(check_logs(&[even_log("AUSDT", 1), even_log("BUSDT", 1)]).is_ok());
        assert!(matches!(check_logs(&[]), Err(StartError::NoLog)));
        assert!(matches!(check_logs(&[empty()]), Err(StartError::EmptyLog(_))));
        let twice = [even_log("AUSDT", 1), even_log("AUSDT", 1)];
        assert!(matches!(check_logs(&twice), Err(StartError::RepeatedSymbol(_))));
    }
}
