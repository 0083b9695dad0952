"""What a pipeline holds in PostgreSQL, read by psql in one snapshot and compared with the trade logs."""

import csv
import subprocess
from decimal import Decimal

from .compare import Verdict, compare
from .trades import Trade

TRADES = """SELECT symbol, trade_id, price, quantity, (extract(epoch FROM trade_time) * 1000000)::bigint AS time_us,
                   buyer_is_maker FROM {schema}.trades_by_symbol"""
CANDLES = """SELECT venue, symbol, "interval", to_char(open_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS open_time,
                    open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume,
                    first_trade_id, last_trade_id, CASE WHEN complete THEN 'true' ELSE 'false' END AS complete
             FROM {schema}.candles_by_symbol"""
RANGES = """SELECT symbol, first_id, last_id FROM {schema}.trade_ranges JOIN {schema}.symbol_head USING (symbol_id)
            WHERE kind = 'held'"""
COUNTERS = """SELECT sum(records_read) AS records_read, sum(trades_new) AS trades_new,
                     sum(records_read - trades_new - trades_duplicate - records_set_aside) AS unaccounted
              FROM {schema}.partition_offsets"""


NEXT = "--next--"


class Database:
    """A schema of a pipeline."""

    def __init__(self, url: str, schema: str) -> None:
        self.url = url
        self.schema = schema

    def snapshot(self, *statements: str) -> list[list[dict[str, str]]]:
        """The rows of each statement, as text, all of them at one moment."""
        copies = [f"COPY ({statement.format(schema=self.schema)}) TO STDOUT (FORMAT csv, HEADER);" for statement in statements]
        script = "\n".join(["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;", f"\n\\echo {NEXT}\n".join(copies), "COMMIT;"])
        command = ["psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-f", "-", self.url]
        answer = subprocess.run(command, input=script, check=True, capture_output=True, text=True, timeout=120)
        return [list(csv.DictReader(part.splitlines())) for part in answer.stdout.split(f"{NEXT}\n")]

    def query(self, statement: str) -> list[dict[str, str]]:
        """The rows of one statement, as text."""
        return self.snapshot(statement)[0]

    def trades_held(self) -> int:
        """How many trades the ledger holds."""
        rows = self.query("SELECT coalesce(sum(trades_held), 0) AS held FROM {schema}.symbol_head")
        return int(rows[0]["held"])


def judge(database: Database, logs: dict[str, list[Trade]], may_miss: bool) -> Verdict:
    """Every trade of the logs exactly once with every field, or missing and said to be missing; every claim of a
    candle true. With `may_miss` false nothing may be missing at all."""
    trade_rows, range_rows, counter_rows, candle_rows = database.snapshot(TRADES, RANGES, COUNTERS, CANDLES)
    stored, ranges, counters = stored_trades(trade_rows), held_ids(range_rows), counter_rows[0]
    verdict = Verdict()
    for symbol, log in sorted(logs.items()):
        _judge_trades(verdict, symbol, log, stored.pop(symbol, []), ranges.get(symbol, set()), may_miss)
    for symbol in stored:
        verdict.problems.append(f"{symbol}: trades of a symbol that was never played")
    if counters["unaccounted"] != "0":
        verdict.problems.append(f"{counters['unaccounted']} records were read and are in no counter")
    if int(counters["trades_new"]) != sum(len(ids) for ids in ranges.values()):
        verdict.problems.append(f"{counters['trades_new']} trades were counted as new, the ledger holds others")
    # What is missing excuses a window from being complete, but no claim from being true.
    is_whole = all({trade.trade_id for trade in log} == ranges.get(symbol, set()) for symbol, log in logs.items())
    claims = compare(candle_rows, logs)
    verdict.problems += [problem for problem in claims.problems if is_whole or not problem.endswith("is not complete")]
    verdict.complete, verdict.equal = claims.complete, claims.equal
    return verdict


def stored_trades(rows: list[dict[str, str]]) -> dict[str, list[Trade]]:
    """All rows by symbol, repeats included."""
    found: dict[str, list[Trade]] = {}
    for row in rows:
        trade = Trade(int(row["trade_id"]), Decimal(row["price"]), Decimal(row["quantity"]), int(row["time_us"]), row["buyer_is_maker"] == "t")
        found.setdefault(row["symbol"], []).append(trade)
    return found


def held_ids(rows: list[dict[str, str]]) -> dict[str, set[int]]:
    """The ids that the ledger says are held."""
    ids: dict[str, set[int]] = {}
    for row in rows:
        ids.setdefault(row["symbol"], set()).update(range(int(row["first_id"]), int(row["last_id"]) + 1))
    return ids


def _judge_trades(verdict: Verdict, symbol: str, log: list[Trade], rows: list[Trade], held: set[int], may_miss: bool) -> None:
    played = {trade.trade_id: trade for trade in log}
    seen: set[int] = set()
    for row in rows:
        if row.trade_id in seen:
            verdict.problems.append(f"{symbol}: trade {row.trade_id} is there twice")
        elif played.get(row.trade_id) != row:
            verdict.problems.append(f"{symbol}: trade {row.trade_id} is {row}, played was {played.get(row.trade_id)}")
        seen.add(row.trade_id)
    if seen != held:
        verdict.problems.append(f"{symbol}: rows and ledger differ in {len(seen ^ held)} ids, e.g. {min(seen ^ held)}")
    missing = set(played) - seen
    if missing and not may_miss:
        verdict.problems.append(f"{symbol}: {len(missing)} trades are missing, e.g. {min(missing)}")
