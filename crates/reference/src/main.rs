//! Writes the pages of docs/reference that follow from the code; its test fails where they no longer do.
//!
//! `cargo run -p reference`

mod fields;
mod metrics;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference");

/// The pages by name.
fn pages() -> anyhow::Result<[(&'static str, String); 2]> {
    Ok([("cryptopipeline.md", fields::page()?), ("metrics.md", metrics::page())])
}

fn main() -> anyhow::Result<()> {
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder).context("docs/reference cannot be made")?;
    for (name, text) in pages()? {
        fs::write(folder.join(name), text)
            .with_context(|| format!("docs/reference/{name} cannot be written"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_follow_from_the_code() {
        for (name, text) in pages().unwrap() {
            let written = fs::read_to_string(Path::new(FOLDER).join(name)).unwrap_or_default();
            assert!(written == text, "docs/reference/{name} is stale: cargo run -p reference");
        }
    }
}
