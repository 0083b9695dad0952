//! What `make bench` (e2e/bench/) measures the programs against. Each subcommand does one thing and prints one
//! line of JSON.

mod database;
mod fill;
mod frames;
mod poll;
mod topic;
mod watch;

use clap::{Parser, Subcommand};
use serde::Serialize;

/// Fills a topic, reads it or an exchange by a plain loop, and watches rows become visible.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a topic with generated trades of the five default symbols, as `worker produce` writes them.
    Fill(fill::Arguments),
    /// Read an exchange's trades by a loop that does nothing but count.
    Frames(frames::Arguments),
    /// Read the whole topic by a loop that does nothing but count, with the aggregator's client settings.
    Poll(poll::Arguments),
    /// Make the tables of a pipeline, which the operator does where there is one.
    Migrate(database::Migration),
    /// Look at the tables every few milliseconds, and say how old records are when their rows become visible, and where they were
    /// meanwhile.
    Watch(watch::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { command } = Arguments::parse();
    match command {
        Command::Fill(arguments) => print(&fill::fill(&arguments).await?),
        Command::Frames(arguments) => print(&frames::read(&arguments).await?),
        Command::Poll(arguments) => {
            print(&tokio::task::spawn_blocking(move || poll::poll(&arguments)).await??)
        }
        Command::Migrate(migration) => print(&database::migrate(&migration).await?),
        Command::Watch(arguments) => print(&watch::watch(arguments).await?),
    }
}

#[expect(clippy::print_stdout, reason = "the line is what the program is for")]
fn print(figures: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(figures)?);
    Ok(())
}
