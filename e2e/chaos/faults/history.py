"""What happens to days that are over, in a round whose market lies mostly in the past."""

from random import Random

from steps import wait_until

from ..rig import Pipeline
from . import LONGEST_EFFECT_S, Fault, NoEffect

TODAY = "date_trunc('day', now(), 'UTC')"
# Missing ids below all that have a row: those of days that are kept no longer.
MISSING_BELOW = """SELECT coalesce(sum(last_id - first_id + 1), 0) FROM holes
    WHERE last_id < (SELECT min(trade_id) FROM trades WHERE trades.symbol_id = holes.symbol_id)"""


def retention_during_repair(pipeline: Pipeline, _: Random) -> str:
    """Days are dropped while trades of them are still to come: those have a place in the ledger only."""
    earlier = f"SELECT count(*) FROM trades WHERE trade_time < {TODAY}"
    below_the_floor = "SELECT count(*) FROM trades JOIN floors ON output = 'trades' WHERE trade_time < floor_time"
    try:
        wait_until("trades of an earlier day have rows", LONGEST_EFFECT_S, lambda: int(pipeline.ask(earlier)) > 0)
        # A start that was accepted once stays accepted when less is kept.
        wait_until("the history is told of", LONGEST_EFFECT_S, lambda: bool(pipeline.status().get("history")))
        before = int(pipeline.ask(earlier))
        pipeline.patch({"database": {"retention": {"trades": "1m", "candles": "1m"}}})
        wait_until("both floors have moved", LONGEST_EFFECT_S, lambda: int(pipeline.ask("SELECT count(*) FROM floors")) == 2)
        wait_until("days are dropped", LONGEST_EFFECT_S, lambda: int(pipeline.ask(below_the_floor)) == 0)
        missing = int(pipeline.ask(MISSING_BELOW))
    finally:
        pipeline.exchange.command("slow_rest", delay_ms=0, for_ms=0)
    if not missing:
        raise NoEffect("no trade of the days that were dropped was missing any more")
    return f"{before} trades of days that were over were dropped while {missing} older ones were missing"


FAULTS = [
    Fault("days dropped during repair", "spec", retention_during_repair),
]
