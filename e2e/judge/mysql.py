"""A pipeline's schema in MySQL or MariaDB, where it is a database, read by MariaDB's client."""

import csv
import os
import subprocess
import urllib.parse
from typing import IO

from .snapshot import Row, Snapshot, Unreachable
from .statements import statements

LONGEST_ANSWER_S = 60
# Words mean what they mean to other databases: || joins texts, and "" stands around names.
AS_ELSEWHERE = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT,ANSI_QUOTES');"
# Who drops a day waits for the end of those who have begun to read the table.
NO_DAY_IS_DROPPED = "SELECT trade_id FROM trades WHERE false;"
NEXT = "--next--"

STATEMENTS = statements(lambda column: f"{column}_us", lambda column: column)


class MySql:
    """A schema of a pipeline."""

    def __init__(self, url: str, schema: str, what_if: str = "") -> None:
        """`what_if` is a change that is made before everything that is read, and undone after it."""
        self.url = url
        self.schema = schema
        self.what_if = what_if

    def snapshot(self, *names: str) -> Snapshot:
        return dict(zip(names, self._read([STATEMENTS[name] for name in names], NO_DAY_IS_DROPPED)))

    def query(self, statement: str) -> list[Row]:
        """The rows of one statement, as text."""
        return self._read([statement])[0]

    def exists(self) -> bool:
        return bool(self._run(f"SHOW DATABASES LIKE '{self.schema}'"))

    def drop(self) -> None:
        """The schema, and everything in it."""
        self._run(f"DROP DATABASE IF EXISTS {self.schema}")

    def execute(self, statement: str, into: IO[str] | None = None, longest_s: int = LONGEST_ANSWER_S) -> None:
        """Changes something, or puts rows into a file, under a line with the names of their columns."""
        self._run(f"USE {self.schema}; {statement};", into, longest_s)

    def close(self) -> None:
        """Nothing stays open."""

    def _read(self, statements: list[str], first: str = "") -> list[list[Row]]:
        begin = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION;"
        script = [AS_ELSEWHERE, f"USE {self.schema};", begin, first, f"{self.what_if};" if self.what_if else ""]
        for statement in statements:
            script += [f"SELECT '{NEXT}' AS \"{NEXT}\";", f"{statement};"]
        script.append("ROLLBACK;")
        parts = self._run("\n".join(script)).split(f"{NEXT}\n{NEXT}\n")[1:]
        return [[_values(row) for row in csv.DictReader(part.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)] for part in parts]

    def _run(self, script: str, into: IO[str] | None = None, longest_s: int = LONGEST_ANSWER_S) -> str:
        server = urllib.parse.urlsplit(self.url)
        line = ["mariadb", "--no-defaults", "--batch", "--protocol", "tcp", "-h", server.hostname, "-P", str(server.port), "-u", server.username]
        environment = os.environ | {"MYSQL_PWD": urllib.parse.unquote(server.password or "")}
        try:
            output = into or subprocess.PIPE
            done = subprocess.run(line, input=script, check=True, stdout=output, stderr=subprocess.PIPE, text=True, env=environment, timeout=longest_s)
            return done.stdout or ""
        except subprocess.CalledProcessError as error:
            raise Unreachable(error.stderr) from error
        except subprocess.TimeoutExpired as error:
            raise Unreachable(f"no answer within {longest_s} s") from error


def _values(row: dict[str, str]) -> Row:
    return {name: None if value == "NULL" else value for name, value in row.items()}
