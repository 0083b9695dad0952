//! The topic that is filled and read.

use clap::Args;
use runtime::kafka::KafkaConnection;

/// Where the topic is.
#[derive(Args)]
pub(crate) struct Topic {
    /// Comma-separated host:port list.
    #[arg(long, env = "KAFKA_BOOTSTRAP", value_name = "SERVERS")]
    pub(crate) bootstrap: String,
    /// The topic's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: String,
}

impl Topic {
    pub(crate) fn connection(&self) -> KafkaConnection {
        KafkaConnection { bootstrap_servers: self.bootstrap.clone(), ..KafkaConnection::default() }
    }
}
