//! Whether the tables are still as the migrations leave them: what people have dropped or altered since. What they have added is
//! theirs.

use std::collections::BTreeSet;

/// What of `expected`, a line each, is not among what was found, in words.
pub(crate) fn differences(expected: &str, found: &[String]) -> Vec<String> {
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let missing = expected.lines().filter(|line| !found.contains(line));
    missing.map(|line| altered_column(line, &found).unwrap_or_else(|| format!("{line} is missing"))).collect()
}

/// A column that is there and is another one.
fn altered_column(line: &str, found: &BTreeSet<&str>) -> Option<String> {
    let (name, wished) = line.strip_prefix("column ")?.split_once(' ')?;
    let prefix = format!("column {name} ");
    let is = found.iter().find_map(|line| line.strip_prefix(&prefix))?;
    Some(format!("column {name} is {is}, not {wished}"))
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn what_is_gone_or_altered_is_named_and_what_was_added_is_not() {
        let expected = "column a.x numeric(38,16) not null\ncolumn a.y text\nindex of a USING btree (x)\n";
        let found = ["column a.x numeric(20,8)", "column a.z text", "index of a USING btree (z)"];
        let found = found.map(str::to_owned);
        assert_eq!(
            differences(expected, &found),
            [
                "column a.x is numeric(20,8), not numeric(38,16) not null",
                "column a.y text is missing",
                "index of a USING btree (x) is missing",
            ]
        );
    }
}
