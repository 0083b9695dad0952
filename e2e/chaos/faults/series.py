"""An exchange that numbers the trades of a symbol anew, as after a wipe, and the person who says that it did."""

import re
import time
from random import Random

from steps import Failed, wait_until

from ..market import BUSY
from ..rig import SOURCE, Pipeline
from . import LONGEST_EFFECT_S, Fault, NoEffect

# A trade contradicts the ids that are held only if it is more than ten seconds later than they are: what is a little
# late may be reordered.
SURELY_LATER_S = 12
# So many trades that contradict them are believed.
EVIDENCE = 10


def ids_restarted(pipeline: Pipeline, random: Random) -> str:
    """Nothing of the symbol may be in flight when its ids begin anew: what is lost then, nobody can ask for any more."""
    symbol = random.choice(BUSY)
    before = pipeline.exchange.symbols()[symbol]
    # Far below all ids that are held, or the very same ones.
    first_id = random.choice((1, before["first_id"]))
    pipeline.exchange.command("set_status", symbol=symbol, status="HALT")
    try:
        wait_until(f"all trades of {symbol} are held", LONGEST_EFFECT_S, lambda: _held(pipeline, symbol) >= pipeline.exchange.symbols()[symbol]["played"])
        pipeline.exchange.command("restart_ids", symbol=symbol, first_id=first_id)
        time.sleep(SURELY_LATER_S)
    finally:
        pipeline.exchange.command("set_status", symbol=symbol, status="TRADING")
    if pipeline.exchange.symbols()[symbol]["id_restarts"] == before["id_restarts"]:
        raise NoEffect(f"the ids of {symbol} went on")
    set_aside = "SELECT count(*) FROM set_aside WHERE reason = 'ids_restarted'"
    wait_until(f"{EVIDENCE} trades of {symbol} are set aside", LONGEST_EFFECT_S, lambda: int(pipeline.ask(set_aside)) >= EVIDENCE)
    wait_until(f"DataContinuous says that the ids of {symbol} began anew", LONGEST_EFFECT_S, lambda: _restart_told(pipeline, symbol) is not None)
    since = _restart_told(pipeline, symbol) or ""
    _begin_series(pipeline, symbol, since)
    wait_until(f"trades of {symbol} are held as another series", LONGEST_EFFECT_S, lambda: _held(pipeline, symbol, "series = 1") > 0)
    return f"{symbol} began anew at id {first_id}: {pipeline.ask(set_aside)} trades were set aside, and {_held(pipeline, symbol, 'series = 1')} are held since {since}"


def _held(pipeline: Pipeline, symbol: str, where: str = "true") -> int:
    return int(pipeline.ask(f"SELECT coalesce(sum(trades_held), 0) FROM symbol_head WHERE symbol = '{symbol}' AND {where}"))


def _restart_told(pipeline: Pipeline, symbol: str) -> str | None:
    """Since when the symbol has new ids, as the resource says it."""
    condition = pipeline.told("DataContinuous")
    if condition.get("reason") != "IdsRestarted":
        return None
    entry = re.search(rf"\{{symbol: {symbol}, since: ([^\s}}]+)\}}", condition["message"])
    return entry and entry.group(1)


def _begin_series(pipeline: Pipeline, symbol: str, since: str) -> None:
    """Does what the message asks for. A patch of a list takes its place: all of it has to be there."""
    resource = pipeline.rig.api.get("cryptopipelines", pipeline.name)
    if resource is None:
        raise Failed(f"there is no {pipeline.name} any more")
    sources = resource["spec"]["sources"]
    for source in sources:
        if source["name"] == SOURCE:
            source.setdefault("series", []).append({"symbol": symbol, "since": since})
    pipeline.patch({"sources": sources})


FAULTS = [
    Fault("ids restarted", "streams", ids_restarted),
]
