"""A pipeline's schema in PostgreSQL, read by psql, which stays connected from one snapshot to the next."""

import contextlib
import csv
import subprocess
import threading

from .snapshot import Row, Snapshot, Unreachable
from .statements import statements

LONGEST_ANSWER_S = 60
# A day that is dropped is gone for older snapshots too, while the floor that says so is not yet there for them. A lock that is
# taken before the snapshot makes who drops wait for its end.
NO_DAY_IS_DROPPED = "LOCK TABLE ONLY trades IN ACCESS SHARE MODE;"
NEXT = "--next--"
END = "--end--"


STATEMENTS = statements(lambda column: f"(extract(epoch FROM {column}) * 1000000)::bigint", lambda column: f"{column}::int")


class Postgres:
    """A schema of a pipeline. Each thread needs one of its own."""

    def __init__(self, url: str, schema: str, what_if: str = "") -> None:
        """`what_if` is a change that is made before everything that is read, and undone after it."""
        self.url = url
        self.schema = schema
        self.what_if = what_if
        self._psql: subprocess.Popen | None = None

    def snapshot(self, *names: str) -> Snapshot:
        return dict(zip(names, self._run([STATEMENTS[name] for name in names], NO_DAY_IS_DROPPED)))

    def query(self, statement: str) -> list[Row]:
        """The rows of one statement, as text."""
        return self._run([statement])[0]

    def trades_held(self) -> int:
        """How many trades the ledger holds."""
        return int(self.query("SELECT coalesce(sum(trades_held), 0) AS held FROM symbol_head")[0]["held"])

    def execute(self, statement: str, longest_s: int = LONGEST_ANSWER_S) -> None:
        """Changes something."""
        line = ["psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-c", f"SET search_path = {self.schema}", "-c", statement, self.url]
        subprocess.run(line, check=True, capture_output=True, text=True, timeout=longest_s)

    def drop(self) -> None:
        """The schema, and everything in it."""
        self.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")

    def close(self) -> None:
        if self._psql is not None:
            self._psql.kill()
            self._psql.wait()
            # A question that was not taken is still held back, and closing offers it once more.
            with contextlib.suppress(BrokenPipeError):
                self._psql.stdin.close()
            self._psql.stdout.close()
            self._psql = None

    def _run(self, statements: list[str], first: str = "") -> list[list[Row]]:
        copies = [f"COPY ({statement}) TO STDOUT (FORMAT csv, HEADER);" for statement in statements]
        script = [
            "BEGIN ISOLATION LEVEL REPEATABLE READ;",
            f"SET LOCAL search_path = {self.schema};",
            first,
            self.what_if + ";",
            f"\n\\echo {NEXT}\n".join(copies),
            "ROLLBACK;",
            f"\\echo {END}",
        ]
        text = self._answer("\n".join(script) + "\n")
        return [[{name: value or None for name, value in row.items()} for row in csv.DictReader(part)] for part in _parts(text)]

    def _answer(self, script: str) -> list[str]:
        process = self._psql = self._psql or self._connect()
        # A server that takes the question and never answers must not hold up the judge.
        watchdog = threading.Timer(LONGEST_ANSWER_S, process.kill)
        watchdog.start()
        lines = []
        try:
            process.stdin.write(script)
            process.stdin.flush()
            while (line := process.stdout.readline()) and line.rstrip("\n") != END:
                lines.append(line)
        except OSError as error:
            self.close()
            raise Unreachable(str(error)) from error
        finally:
            watchdog.cancel()
        if not line:
            self.close()
            raise Unreachable("psql has ended")
        return lines

    def _connect(self) -> subprocess.Popen:
        line = ["psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", self.url]
        return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _parts(lines: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.rstrip("\n") == NEXT:
            parts.append([])
        else:
            parts[-1].append(line)
    return parts
