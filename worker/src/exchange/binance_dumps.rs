//! Binance's daily files: `SYMBOL-trades-YYYY-MM-DD.zip` with its `.CHECKSUM` beside it. A file is used only if it is the
//! one that the checksum is of; what stands in it is read by `rows`.

mod rows;

use std::fs::File;
use std::io::{self, Read, Seek, Write as _};
use std::time::Duration;

use jiff::civil::Date;
use market::Trade;
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::pause_after_status;

use rows::{DumpRows, wished_from};

pub use rows::{RowError, RowProblem};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two parts of an answer; a whole file may take minutes.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest files of the busiest symbols have some 300 MB.
const LARGEST_ZIP_BYTES: u64 = 4 << 30;
const LARGEST_CHECKSUM_BYTES: u64 = 4_096;

/// Why a daily file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// No HTTP client can be made, e.g. without root certificates.
    #[error("the http client cannot be made")]
    Client(#[source] reqwest::Error),
    /// No answer, or a broken one.
    #[error("{file} got no answer")]
    Unreachable {
        /// What was asked for.
        file: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The host answers something else than the file.
    #[error("{file} was answered with {status}")]
    Refused {
        /// What was asked for.
        file: String,
        /// The HTTP status.
        status: u16,
        /// How long not to ask, where the host wants that.
        pause: Option<Duration>,
    },
    /// What is read cannot be kept for the moment.
    #[error("{file} cannot be kept in a temporary file")]
    Storage {
        /// What was asked for.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file.
    #[error("{file} does not exist (yet)")]
    Absent {
        /// What was asked for.
        file: String,
    },
    /// More bytes than any such file can have.
    #[error("{file} is larger than {largest} bytes")]
    TooLarge {
        /// What was asked for.
        file: String,
        /// The bound.
        largest: u64,
    },
    /// The checksum is none.
    #[error("{file} does not begin with a sha256: {beginning:?}")]
    NoChecksum {
        /// What was asked for.
        file: String,
        /// What it begins with.
        beginning: String,
    },
    /// The file is not the one that the checksum is of.
    #[error("{file} is corrupt: its sha256 is {found}, its CHECKSUM says {expected}")]
    Corrupt {
        /// What was asked for.
        file: String,
        /// The hash that it should have.
        expected: String,
        /// The hash that it has.
        found: String,
    },
    /// The file is no zip of one file.
    #[error("{file} cannot be unpacked")]
    NotZip {
        /// What was asked for.
        file: String,
        /// What is wrong with it.
        source: zip::result::ZipError,
    },
    /// A row cannot be read.
    #[error("{file}, {source}")]
    Row {
        /// What was asked for.
        file: String,
        /// Which row, and why.
        source: RowError,
    },
}

impl DumpError {
    /// Whether the file itself cannot be used, as opposed to a host that is away and to trouble of our own.
    #[must_use]
    pub const fn is_about_the_file(&self) -> bool {
        match self {
            Self::Client(_) | Self::Unreachable { .. } | Self::Refused { .. } | Self::Storage { .. } => false,
            Self::Absent { .. }
            | Self::TooLarge { .. }
            | Self::NoChecksum { .. }
            | Self::Corrupt { .. }
            | Self::NotZip { .. }
            | Self::Row { .. } => true,
        }
    }

    /// How long the host wants to be left alone, where it wants that.
    #[must_use]
    pub const fn pause(&self) -> Option<Duration> {
        match self {
            Self::Refused { pause, .. } => *pause,
            _ => None,
        }
    }
}

/// The name of the file with the trades of a day.
#[must_use]
pub fn dump_name(symbol: &str, day: Date) -> String {
    format!("{symbol}-trades-{day}.zip")
}

/// Where the daily files are.
#[derive(Debug)]
pub struct BinanceDumps {
    client: reqwest::Client,
    url: String,
}

impl BinanceDumps {
    /// The files at `url`, e.g. `https://data.binance.vision`.
    ///
    /// # Errors
    /// [`DumpError::Client`] where there is no TLS provider or no root certificate.
    pub fn new(url: &str) -> Result<Self, DumpError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(DumpError::Client)?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned() })
    }

    /// The hash that the file of `day` must have, as hexadecimal digits.
    ///
    /// # Errors
    /// [`DumpError`]; [`DumpError::Absent`] where there is no checksum, and so no file that can be verified.
    pub async fn checksum(&self, symbol: &str, day: Date) -> Result<String, DumpError> {
        let file = format!("{}.CHECKSUM", dump_name(symbol, day));
        let mut text = Vec::new();
        self.read(symbol, &file, LARGEST_CHECKSUM_BYTES, |part| {
            text.extend_from_slice(part);
            Ok(())
        })
        .await?;
        let text = String::from_utf8_lossy(&text);
        let hash = text.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(hash);
        }
        Err(DumpError::NoChecksum { file, beginning: text.chars().take(80).collect() })
    }

    /// The file of `day`, which is the one that has the hash `sha256`. It goes when it is closed.
    ///
    /// # Errors
    /// [`DumpError`]; [`DumpError::Corrupt`] where it has another hash.
    pub async fn file(&self, symbol: &str, day: Date, sha256: &str) -> Result<File, DumpError> {
        let name = dump_name(symbol, day);
        let storage = |source| DumpError::Storage { file: name.clone(), source };
        let mut kept = tempfile::tempfile().map_err(storage)?;
        let mut hash = Sha256::new();
        self.read(symbol, &name, LARGEST_ZIP_BYTES, |part| {
            hash.update(part);
            kept.write_all(part)
        })
        .await?;
        let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found != sha256 {
            return Err(DumpError::Corrupt { file: name, expected: sha256.to_owned(), found });
        }
        kept.rewind().map_err(storage)?;
        Ok(kept)
    }

    /// Hands the parts of a file over as they come, `largest` bytes at most.
    async fn read(
        &self,
        symbol: &str,
        file: &str,
        largest: u64,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), DumpError> {
        let url = format!("{}/data/spot/daily/trades/{symbol}/{file}", self.url);
        let unreachable = |source| DumpError::Unreachable { file: file.to_owned(), source };
        let mut response = self.client.get(url).send().await.map_err(unreachable)?;
        check_status(file, &response)?;
        let mut read = 0;
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            read += part.len() as u64;
            if read > largest {
                return Err(DumpError::TooLarge { file: file.to_owned(), largest });
            }
            take(&part).map_err(|source| DumpError::Storage { file: file.to_owned(), source })?;
        }
        Ok(())
    }
}

fn check_status(file: &str, response: &Response) -> Result<(), DumpError> {
    let (status, file) = (response.status(), file.to_owned());
    if status.is_success() {
        return Ok(());
    }
    if status == StatusCode::NOT_FOUND {
        return Err(DumpError::Absent { file });
    }
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let pause = pause_after_status(status.as_u16(), retry_after);
    Err(DumpError::Refused { file, status: status.as_u16(), pause })
}

/// What of a daily file is wanted, and how.
#[derive(Clone, Debug)]
pub struct WantedRows {
    /// The file, for errors.
    pub name: String,
    /// The day that all its trades are of.
    pub day: Date,
    /// Trades from then on are wanted, with the one before: microseconds since 1970, UTC.
    pub from_us: i64,
    /// Our own clock, microseconds since 1970, UTC.
    pub received_time_us: i64,
    /// So many trades in a step at most.
    pub most: usize,
}

/// Hands over the wanted trades of a verified file, step by step. Ends early where `take` does not want more.
///
/// # Errors
/// [`DumpError`] where it cannot be unpacked or read to its end. What was handed over before is right.
pub fn read_steps(
    file: impl Read + Seek,
    wanted: &WantedRows,
    take: impl FnMut(Vec<Trade>) -> bool,
) -> Result<(), DumpError> {
    let not_zip = |source| DumpError::NotZip { file: wanted.name.clone(), source };
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(not_zip)?;
    read_rows(archive.by_index(0).map_err(not_zip)?, wanted, take)
}

/// As [`read_steps`], of what is in the zip.
///
/// # Errors
/// [`DumpError`] where it cannot be read to its end.
pub fn read_rows(
    unpacked: impl Read,
    wanted: &WantedRows,
    mut take: impl FnMut(Vec<Trade>) -> bool,
) -> Result<(), DumpError> {
    let most = wanted.most;
    let rows = DumpRows::new(unpacked, wanted.day, wanted.received_time_us);
    let mut step = Vec::with_capacity(most);
    for row in wished_from(wanted.from_us, rows) {
        step.push(row.map_err(|source| DumpError::Row { file: wanted.name.clone(), source })?);
        if step.len() == most && !take(std::mem::replace(&mut step, Vec::with_capacity(most))) {
            return Ok(());
        }
    }
    if !step.is_empty() {
        take(step);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use jiff::civil::date;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};
    use zip::write::SimpleFileOptions;

    use super::*;

    const DAY: Date = date(2026, 1, 1);
    const NAME: &str = "BTCUSDT-trades-2026-01-01.zip";

    /// A host with these files.
    async fn host(files: &[(&str, ResponseTemplate)]) -> (MockServer, BinanceDumps) {
        runtime::tls::install_provider();
        let server = MockServer::start().await;
        for (name, answer) in files {
            Mock::given(method("GET"))
                .and(path(format!("/data/spot/daily/trades/BTCUSDT/{name}")))
                .respond_with(answer.clone())
                .mount(&server)
                .await;
        }
        let dumps = BinanceDumps::new(&format!("{}/", server.uri())).unwrap();
        (server, dumps)
    }

    fn answer(body: impl Into<Vec<u8>>) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_bytes(body)
    }

    fn zip_of(content: &str) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("BTCUSDT-trades-2026-01-01.csv", SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn rows(ids: std::ops::RangeInclusive<i64>) -> String {
        let row = |id: i64| format!("{id},94250.15,0.013,1225.25,{},True,True\n", 1_767_225_600_000_000 + id);
        ids.map(row).collect()
    }

    fn steps_of(zip: &[u8], most: usize) -> Result<Vec<Vec<i64>>, DumpError> {
        let wanted = WantedRows { name: NAME.to_owned(), day: DAY, from_us: 0, received_time_us: 7, most };
        let mut steps = Vec::new();
        read_steps(Cursor::new(zip), &wanted, |step| {
            steps.push(step.iter().map(|trade| trade.trade_id).collect());
            true
        })?;
        Ok(steps)
    }

    #[tokio::test]
    async fn a_file_is_the_one_that_its_checksum_is_of() {
        let zip = zip_of(&rows(1..=5));
        let checksum = answer(format!("{}  {NAME}", sha256(&zip)));
        let files = [(NAME, answer(zip.clone())), ("BTCUSDT-trades-2026-01-01.zip.CHECKSUM", checksum)];
        let (_host, dumps) = host(&files).await;
        let expected = dumps.checksum("BTCUSDT", DAY).await.unwrap();
        assert_eq!(expected, sha256(&zip));
        let mut file = dumps.file("BTCUSDT", DAY, &expected).await.unwrap();
        let mut read = Vec::new();
        io::Read::read_to_end(&mut file, &mut read).unwrap();
        assert_eq!(read, zip);
    }

    #[tokio::test]
    async fn a_corrupt_file_is_refused_by_name() {
        let (_host, dumps) = host(&[(NAME, answer("no longer what it was"))]).await;
        let error = dumps.file("BTCUSDT", DAY, &"0".repeat(64)).await.unwrap_err();
        assert!(error.is_about_the_file());
        let message = error.to_string();
        assert!(message.starts_with(&format!("{NAME} is corrupt: its sha256 is ")), "{message}");
    }

    #[tokio::test]
    async fn what_is_absent_or_no_checksum_is_told_from_a_host_in_trouble() {
        let checksum = "BTCUSDT-trades-2026-01-01.zip.CHECKSUM";
        for (status, body, is_about_the_file) in
            [(404, "", true), (200, "<html>", true), (200, "", true), (503, "", false), (429, "", false)]
        {
            let answer = ResponseTemplate::new(status).set_body_string(body);
            let (_host, dumps) = host(&[(checksum, answer)]).await;
            let error = dumps.checksum("BTCUSDT", DAY).await.unwrap_err();
            assert_eq!(error.is_about_the_file(), is_about_the_file, "{status} {body}: {error}");
            assert_eq!(error.pause().is_some(), status == 429);
            assert!(error.to_string().contains(checksum), "{error}");
        }
    }

    #[tokio::test]
    async fn no_answer_grows_beyond_its_bound() {
        let checksum = "BTCUSDT-trades-2026-01-01.zip.CHECKSUM";
        let (_host, dumps) = host(&[(checksum, answer(vec![b'0'; 5_000]))]).await;
        let error = dumps.checksum("BTCUSDT", DAY).await.unwrap_err();
        assert!(matches!(error, DumpError::TooLarge { largest: 4_096, .. }), "{error}");
    }

    #[test]
    fn a_file_is_handed_over_in_steps() {
        let steps = steps_of(&zip_of(&rows(1..=5)), 2).unwrap();
        assert_eq!(steps, [vec![1, 2], vec![3, 4], vec![5]]);
        assert_eq!(steps_of(&zip_of(""), 2).unwrap(), Vec::<Vec<i64>>::new());
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named_with_its_file() {
        let zip = zip_of(&rows(1..=3).replace("3,94250.15,", "3,-1,"));
        let error = steps_of(&zip, 2).unwrap_err();
        assert_eq!(error.to_string(), format!("{NAME}, line 3: price -1 is not above zero"));
        let error = steps_of(b"no zip", 2).unwrap_err();
        assert!(matches!(error, DumpError::NotZip { .. }), "{error}");
    }
}
