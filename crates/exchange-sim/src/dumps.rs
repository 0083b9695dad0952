//! The exchange's daily files: `/data/spot/daily/trades/SYMBOL/SYMBOL-trades-YYYY-MM-DD.zip` and its `.CHECKSUM`, for
//! every day (UTC) that is over by the simulator's clock and has had a trade.
//!
//! They are made of the same log as everything else, in the format of the public dumps: CSV without a header, times in
//! milliseconds before 2025 and in microseconds since, the checksum without a final newline.

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::exchange::Exchange;
use crate::log::write_row;
use crate::playback::SymbolMarket;

const DAY_US: i64 = 86_400_000_000;
/// Midnight of 2025-01-01: from then on the files have microseconds.
const FIRST_DAY_IN_MICROSECONDS_US: i64 = 1_735_689_600_000_000;
const HEADER: &[u8] = b"id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n";

/// What is wrong with the file of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DumpFault {
    /// Nothing. A file that was short is thereby issued anew, with other content and another checksum.
    #[default]
    None,
    /// There is no file.
    Absent,
    /// There is a file, but no checksum.
    NoChecksum,
    /// The file is not the one that the checksum is of.
    Corrupt,
    /// A header stands before the rows.
    Header,
    /// The last tenth of the rows is not in the file; its checksum is right.
    Short,
}

/// A file as it is issued.
#[derive(Debug)]
struct DumpFile {
    name: String,
    zip: Vec<u8>,
    sha256: String,
}

/// With how often the ids were restarted: the day before it is none any more.
type DumpKey = (SmolStr, Date, DumpFault, u32);

/// The file that was made last: whoever asks for a checksum asks for the file next.
#[derive(Debug, Default)]
pub(crate) struct DumpCache(Mutex<Option<(DumpKey, Arc<DumpFile>)>>);

/// `/data/spot/daily/trades/*`.
pub(crate) fn routes() -> Router<Arc<Exchange>> {
    Router::new().route("/data/spot/daily/trades/{symbol}/{file}", get(serve))
}

async fn serve(
    State(exchange): State<Arc<Exchange>>,
    Path((symbol, file)): Path<(String, String)>,
) -> Response {
    // A busy day takes seconds to be written and packed.
    let found = tokio::task::spawn_blocking(move || find(&exchange, &symbol, &file)).await;
    match found {
        Ok(Some(body)) => body.into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The body of a zip or of its checksum.
fn find(exchange: &Exchange, symbol: &str, file: &str) -> Option<Vec<u8>> {
    let market = exchange.market(symbol)?;
    let zip_name = file.strip_suffix(".CHECKSUM").unwrap_or(file);
    let date = zip_name.strip_suffix(".zip")?.strip_prefix(symbol)?.strip_prefix("-trades-")?;
    let day: Date = date.parse().ok()?;
    let fault = market.faults.dump_fault(day);
    let is_checksum = zip_name != file;
    if fault == DumpFault::Absent || (is_checksum && fault == DumpFault::NoChecksum) {
        return None;
    }
    let key = (market.symbol().clone(), day, fault, market.id_restarts());
    let dump = exchange.dumps.get_or_make(key, || make(exchange, market, day, fault))?;
    if is_checksum {
        return Some(format!("{}  {}", dump.sha256, dump.name).into_bytes());
    }
    let mut zip = dump.zip.clone();
    if fault == DumpFault::Corrupt
        && let Some(byte) = zip.get_mut(dump.zip.len() / 2)
    {
        *byte = !*byte;
    }
    Some(zip)
}

impl DumpCache {
    fn get_or_make(&self, key: DumpKey, make: impl FnOnce() -> Option<DumpFile>) -> Option<Arc<DumpFile>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, dump)) = &*last
            && *made == key
        {
            return Some(dump.clone());
        }
        let dump = Arc::new(make()?);
        *last = Some((key, dump.clone()));
        Some(dump)
    }
}

/// The file of `day`; `None` before the day is over, and where it had no trade.
fn make(exchange: &Exchange, market: &SymbolMarket, day: Date, fault: DumpFault) -> Option<DumpFile> {
    let start_us = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond();
    let end_us = start_us + DAY_US;
    let view = market.view();
    if exchange.played_until_us(market) < end_us {
        return None;
    }
    let (first, end) = (view.index_of_time(start_us), view.index_of_time(end_us));
    let count = end - first;
    if count == 0 {
        return None;
    }
    let shown = if fault == DumpFault::Short { count - count.div_ceil(10) } else { count };
    let mut csv = if fault == DumpFault::Header { HEADER.to_vec() } else { Vec::new() };
    for trade in view.trades_from(first).take(shown) {
        let is_old = trade.time_us < FIRST_DAY_IN_MICROSECONDS_US;
        write_row(&mut csv, &trade, if is_old { trade.time_us / 1_000 } else { trade.time_us }).ok()?;
    }
    let name = format!("{}-trades-{day}", market.symbol());
    let zip = packed(&format!("{name}.csv"), &csv).ok()?;
    let sha256 = Sha256::digest(&zip).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(DumpFile { name: format!("{name}.zip"), zip, sha256 })
}

/// A zip of one file. Without the time of the packing, so that it is the same each time.
fn packed(name: &str, content: &[u8]) -> Result<Vec<u8>, zip::result::ZipError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default());
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, options)?;
    zip.write_all(content)?;
    Ok(zip.finish()?.into_inner())
}
