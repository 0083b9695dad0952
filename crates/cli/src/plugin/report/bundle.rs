//! The file: texts in a folder, masked one and all on their way into a compressed archive.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::Value;

use super::mask::Mask;
use super::objects::{hide_known, hide_named};

/// What is gathered so far.
pub(super) struct Bundle {
    folder: String,
    now: Timestamp,
    /// What must not stand in any file.
    mask: Mask,
    pieces: Vec<(String, Piece)>,
    left_out: Vec<(String, String)>,
}

/// What becomes a file.
enum Piece {
    Text(String),
    /// Written as YAML, which breaks and quotes long texts: what they must not hold is looked for before.
    Object(Value),
}

/// What was written.
pub(super) struct Contents {
    pub(super) files: Vec<String>,
    /// What is missing, and why.
    pub(super) left_out: Vec<(String, String)>,
}

impl Bundle {
    pub(super) fn new(folder: &str, now: Timestamp) -> Self {
        let (pieces, left_out) = (Vec::new(), Vec::new());
        Self { folder: folder.to_owned(), now, mask: Mask::default(), pieces, left_out }
    }

    /// Adds an object or a list of them, or notes why it is not there.
    pub(super) fn add_object(&mut self, name: &str, object: anyhow::Result<Value>) {
        match object {
            Ok(mut object) => {
                hide_named(&mut object, &mut self.mask);
                self.pieces.push((name.to_owned(), Piece::Object(object)));
            }
            Err(error) => self.leave_out(name, &format!("{error:#}")),
        }
    }

    /// Adds a text, or notes why it is not there.
    pub(super) fn add(&mut self, name: &str, text: anyhow::Result<String>) {
        match text {
            Ok(text) => {
                self.mask.learn_from_text(&text);
                self.pieces.push((name.to_owned(), Piece::Text(text)));
            }
            Err(error) => self.leave_out(name, &format!("{error:#}")),
        }
    }

    pub(super) fn leave_out(&mut self, what: &str, why: &str) {
        self.left_out.push((what.to_owned(), why.to_owned()));
    }

    /// Writes all of it. Whatever is written passes the mask here, once all that it has to hide is known.
    pub(super) fn write(mut self, out: impl Write) -> io::Result<Contents> {
        let list = |(what, why): &(String, String)| format!("{what}: {why}\n");
        let left_out: String = self.left_out.iter().map(list).collect();
        let heading = "What is not in this report, and why. Secrets are never read.\n\n";
        self.pieces.push(("left-out.txt".to_owned(), Piece::Text(format!("{heading}{left_out}"))));
        let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        let mut files = Vec::new();
        for (name, piece) in std::mem::take(&mut self.pieces) {
            let text = match piece {
                Piece::Text(text) => text,
                Piece::Object(mut object) => {
                    hide_known(&mut object, &self.mask);
                    serde_yaml::to_string(&object).map_err(io::Error::other)?
                }
            };
            self.append(&mut archive, &name, self.mask.apply(&text).as_bytes())?;
            files.push(name);
        }
        archive.into_inner()?.finish()?.flush()?;
        let masked = |(what, why): &(String, String)| (what.clone(), self.mask.apply(why));
        Ok(Contents { files, left_out: self.left_out.iter().map(masked).collect() })
    }

    fn append(&self, archive: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(self.now.as_second()).unwrap_or_default());
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, format!("{}/{name}", self.folder), bytes)
    }
}
