//! MySQL's rows.

use sqlx::Row;
use sqlx::mysql::MySqlRow;

use crate::plain_rows::PlainRow;

impl PlainRow for MySqlRow {
    fn int(&self, column: usize) -> i32 {
        self.get(column)
    }

    fn long(&self, column: usize) -> i64 {
        self.get(column)
    }

    fn any_long(&self, column: usize) -> Option<i64> {
        self.get(column)
    }

    fn flag(&self, column: usize) -> bool {
        self.get(column)
    }

    /// Decimals travel as text, and names are bytes.
    fn text(&self, column: usize) -> &str {
        self.get_unchecked(column)
    }

    fn any_text(&self, column: usize) -> Option<&str> {
        self.get_unchecked(column)
    }
}
