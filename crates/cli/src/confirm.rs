//! Asks a person before something is removed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, ensure};

/// Whether there is somebody to ask; what to say instead where there is not.
pub(crate) fn ensure_a_person() -> anyhow::Result<()> {
    ensure!(
        io::stdin().is_terminal(),
        "nothing was removed: standard input is no terminal to ask on; --yes removes without asking, --dry-run shows what"
    );
    Ok(())
}

/// Goes on only after `yes`.
pub(crate) fn confirm(question: &str) -> anyhow::Result<()> {
    let _ = write!(io::stderr(), "{question} [yes/no] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("the answer cannot be read")?;
    ensure!(is_yes(&answer), "nothing was removed, as it was not confirmed");
    Ok(())
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_is_one() {
        let answers = ["yes\n", "Y\n", "YES", "\n", "no\n", "yes please\n", ""];
        assert_eq!(answers.map(is_yes), [true, true, true, false, false, false, false]);
    }
}
