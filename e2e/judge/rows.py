"""The rows of the trades, and the counters of what became of the topic's records."""

from .snapshot import Row, StoredCandle, StoredTrade
from .truth import Truth
from .verdict import Verdict


def judge_trades(verdict: Verdict, symbol: str, rows: list[StoredTrade], held: set[int], truth: Truth, floor_us: int) -> None:
    """Every trade that the ledger holds has one row, equal to what was played, or lies below the floor and may have
    none; nothing else has."""
    seen: set[int] = set()
    for row in rows:
        trade_id = row.trade.trade_id
        if trade_id in seen:
            verdict.wrong(f"{symbol}: trade {trade_id} is there twice")
        elif truth.by_id.get(trade_id) != row.trade:
            verdict.wrong(f"{symbol}: trade {trade_id} is {row.trade}, played was {truth.by_id.get(trade_id)}")
        seen.add(trade_id)
    verdict.trades += len(seen)
    wrong = (seen - held) | {trade_id for trade_id in held - seen if not truth.is_below(trade_id, floor_us)}
    if wrong:
        verdict.wrong(f"{symbol}: rows and ledger differ in {len(wrong)} ids, e.g. {min(wrong)}")


def judge_versions(verdict: Verdict, head: Row, rows: list[StoredTrade], candles: list[StoredCandle]) -> None:
    """Every row has the version of a flush, and a candle that of the last flush that brought it a trade. A late trade
    changes the moving averages of those after it, whose candles it leaves alone: where there are any, a candle has the version
    of some flush."""
    symbol, newest = head["symbol"], int(head["version"])
    for row in rows:
        if not 0 < row.version <= newest:
            verdict.wrong(f"{symbol}: trade {row.trade.trade_id} has version {row.version}, the newest one is {newest}")
    if any(row.moving_average is not None for row in rows):
        rows = []
    for interval_us in {stored.interval_us for stored in candles}:
        versions: dict[int, int] = {}
        for row in rows:
            open_us = row.trade.time_us - row.trade.time_us % interval_us
            versions[open_us] = max(row.version, versions.get(open_us, 0))
        for stored in candles:
            if stored.interval_us == interval_us and not max(1, versions.get(stored.open_us, 0)) <= stored.version <= newest:
                verdict.wrong(f"{stored}: its version is {stored.version}, that of its trades {versions.get(stored.open_us)}, the newest one {newest}")


def judge_counters(verdict: Verdict, offsets: list[Row], counted: int, held: int) -> None:
    """Every record that was read is in one counter, and every trade held was new once, from the topic or a daily
    file, or again after a rebuild."""
    for row in offsets:
        name = f"partition {row['partition']} of {row['topic']}"
        parts = sum(int(row[counter]) for counter in ("trades_new", "trades_duplicate", "samples_new", "samples_duplicate", "records_set_aside"))
        if int(row["records_read"]) != parts:
            verdict.wrong(f"{name}: {row['records_read']} records were read, {parts} are in a counter")
    if counted != held:
        verdict.wrong(f"{counted} trades were counted as new, {held} are held")


def judge_offsets(verdict: Verdict, offsets: list[Row], records: dict[int, int]) -> None:
    """Positions against the topic itself, by partition: how many records it has had. All of them have been read, each
    of them once; true only of a topic that was not made anew meanwhile."""
    for row in offsets:
        partition = int(row["partition"])
        end, position = records.get(partition, 0), int(row["next_offset"])
        if position != end:
            verdict.wrong(f"partition {partition}: the position is {position}, the topic ends at {end}")
        if int(row["records_read"]) + int(row["offsets_skipped"]) != position:
            verdict.wrong(f"partition {partition}: {row['records_read']} records were read and {row['offsets_skipped']} skipped up to position {position}")
