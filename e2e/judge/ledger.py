"""The ledger: what it holds, what it knows to be missing, and how far the exchange's ids go."""

from decimal import Decimal

from .snapshot import Range, Row
from .truth import Truth
from .verdict import Verdict


def judge_ranges(verdict: Verdict, symbol: str, ranges: list[Range], truth: Truth) -> None:
    """Ranges are disjoint, hold or refuse trades that there were, and void only ids that there were not."""
    before = None
    for found in ranges:
        name = f"{symbol} ids {found.first_id}..{found.last_id} ({found.kind})"
        if found.last_id < found.first_id or (before is not None and found.first_id <= before.last_id):
            verdict.wrong(f"{name}: the range is upside down or overlaps the one before")
            continue
        before = found
        if found.kind == "held":
            _judge_held(verdict, name, found, truth)
        elif found.kind == "void" and truth.count(found.ids()):
            verdict.wrong(f"{name}: the exchange has such trades")
        elif found.kind == "refused" and truth.count(found.ids()) < len(found.ids()):
            verdict.wrong(f"{name}: the exchange has no such trades")


def _judge_held(verdict: Verdict, name: str, found: Range, truth: Truth) -> None:
    if truth.count(found.ids()) < len(found.ids()):
        never = next(trade_id for trade_id in found.ids() if trade_id not in truth.by_id)
        verdict.wrong(f"{name}: there was no trade {never}")
        return
    times = truth.by_id[found.first_id].time_us, truth.by_id[found.last_id].time_us
    if (found.first_us, found.last_us) != times:
        verdict.wrong(f"{name}: its times are {(found.first_us, found.last_us)}, not {times}")


def judge_head(verdict: Verdict, head: Row, ranges: list[Range], truth: Truth) -> None:
    """What stands in the symbol's own row follows from its ranges."""
    symbol, held = head["symbol"], [found for found in ranges if found.kind == "held"]
    count = sum(len(found.ids()) for found in held)
    if int(head["trades_held"]) != count:
        verdict.wrong(f"{symbol}: {head['trades_held']} trades are said to be held, the ranges hold {count}")
    last_id = max((found.last_id for found in held), default=None)
    if head["last_trade_id"] != (None if last_id is None else str(last_id)):
        verdict.wrong(f"{symbol}: the last trade is said to be {head['last_trade_id']}, it is {last_id}")
    last = truth.by_id.get(last_id)
    if last and (int(head["last_us"]), Decimal(head["last_price"])) != (last.time_us, last.price):
        verdict.wrong(f"{symbol}: the last trade is said to be at {head['last_us']} us for {head['last_price']}, it is {last}")


def judge_probe(verdict: Verdict, probe: Row, truth: Truth) -> None:
    """No id beyond the exchange's; and all that it had when the probe before was made."""
    symbol, last_id = probe["symbol"], int(probe["last_id"])
    if not truth.log or last_id > truth.log[-1].trade_id:
        verdict.wrong(f"{symbol}: the probe says that there is a trade {last_id}")
    settled = truth.last_id_until(int(probe["settled_us"])) if probe["settled_us"] else None
    if settled is not None and settled > last_id:
        verdict.wrong(f"{symbol}: a probe says that {last_id} is the last trade at {probe['settled_us']} us, {settled} is")


def judge_holes(verdict: Verdict, symbol: str, ranges: list[Range], probe: Row | None, start: Row | None, holes: list[Row]) -> None:
    """What is said to be missing is exactly what is wished and not accounted for."""
    said = {trade_id for hole in holes for trade_id in range(int(hole["first_id"]), int(hole["last_id"]) + 1)}
    missing = missing_ids(ranges, probe, start)
    if said != missing:
        wrong = sorted(said ^ missing)
        verdict.wrong(f"{symbol}: {len(wrong)} ids are wrongly said to be missing, or wrongly not, e.g. {wrong[0]}")


def missing_ids(ranges: list[Range], probe: Row | None, start: Row | None) -> set[int]:
    """From the first id wished to the last one that is known to exist, without what is accounted for. Where a start is
    wished, what is held from before it makes nothing else wished."""
    wished = [int(probe["wished_after"]) + 1] if probe else []
    wished += [int(start["first_id"])] if start and start["first_id"] else []
    held = [] if start and wished else [found.first_id for found in ranges[:1]]
    last = [found.last_id for found in ranges[-1:]] + ([int(probe["last_id"])] if probe else [])
    if not wished + held or not last:
        return set()
    missing: set[int] = set()
    next_id = min(wished + held)
    for found in sorted(ranges, key=lambda found: found.first_id):
        missing.update(range(next_id, found.first_id))
        next_id = max(next_id, found.last_id + 1)
    missing.update(range(next_id, max(last) + 1))
    return missing
