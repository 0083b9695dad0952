//! Symbols that are asked for together. One that the exchange does not list fails the question for all of them: the batch is
//! halved until it is found. Pure.

/// What is still to be asked for, in the order of the symbols.
#[derive(Debug)]
pub(super) struct SymbolBatches<'a> {
    /// The next one last.
    left: Vec<&'a [String]>,
}

impl<'a> SymbolBatches<'a> {
    /// All of `symbols`, `most` at a time.
    pub(super) fn new(symbols: &'a [String], most: usize) -> Self {
        Self { left: symbols.chunks(most).rev().collect() }
    }

    /// What is to be asked for next.
    pub(super) fn next(&mut self) -> Option<&'a [String]> {
        self.left.pop()
    }

    /// The exchange refused `batch` because of a symbol: which one, if that is known; else its halves come next.
    pub(super) fn refused(&mut self, batch: &'a [String]) -> Option<&'a String> {
        if let [only] = batch {
            return Some(only);
        }
        let (left, right) = batch.split_at(batch.len() / 2);
        self.left.extend([right, left]);
        None
    }
}

/// As the exchange writes `symbols` parameters.
pub(super) fn symbol_list(symbols: &[String]) -> String {
    serde_json::Value::from(symbols).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unlisted_symbol_is_found_and_the_others_are_asked_for_once_in_their_order() {
        let symbols: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        let is_listed = |symbol: &&String| !["7", "8", "33"].contains(&symbol.as_str());
        let mut batches = SymbolBatches::new(&symbols, 20);
        let (mut listed, mut unlisted) = (Vec::new(), Vec::new());
        while let Some(batch) = batches.next() {
            if batch.iter().all(|symbol| is_listed(&symbol)) {
                listed.extend(batch);
            } else {
                unlisted.extend(batches.refused(batch));
            }
        }
        assert_eq!(unlisted, ["7", "8", "33"]);
        assert_eq!(listed, symbols.iter().filter(is_listed).collect::<Vec<_>>());
    }
}
