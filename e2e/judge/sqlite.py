"""A pipeline's SQLite file."""

import sqlite3
from pathlib import Path

from .snapshot import Snapshot, Unreachable
from .statements import statements

LONGEST_WAIT_S = 30

STATEMENTS = statements(lambda column: f"{column}_us", lambda column: column)


class Sqlite:
    """A file of a pipeline. It may be read while the pipeline writes."""

    def __init__(self, path: Path, what_if: str = "") -> None:
        """`what_if` is a change that is made before everything that is read, and undone after it."""
        self.path = path
        self.what_if = what_if

    def snapshot(self, *names: str) -> Snapshot:
        try:
            connection = sqlite3.connect(f"file:{self.path}?mode={'rw' if self.what_if else 'ro'}", uri=True, timeout=LONGEST_WAIT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise Unreachable(str(error)) from error
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("BEGIN")
            if self.what_if:
                connection.execute(self.what_if)
            return {name: [_texts(row) for row in connection.execute(STATEMENTS[name])] for name in names}
        except sqlite3.Error as error:
            raise Unreachable(str(error)) from error
        finally:
            connection.close()

    def execute(self, statement: str) -> None:
        """Changes something."""
        connection = sqlite3.connect(self.path, timeout=LONGEST_WAIT_S)
        try:
            with connection:
                connection.execute(statement)
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing stays open."""


def _texts(row: sqlite3.Row) -> dict[str, str | None]:
    return {name: None if row[name] is None else str(row[name]) for name in row.keys()}
