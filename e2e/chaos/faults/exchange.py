"""An exchange that disconnects, falls silent, lies, or refuses to answer."""

import contextlib
import time
from random import Random
from typing import Callable

from steps import Failed, wait_until

from ..market import BUSY
from ..rig import Pipeline
from . import LONGEST_EFFECT_S, Fault, NoEffect

FALSE_FRAMES = ("oversized", "wrong_types", "absurd_id", "absurd_time", "absurd_price")


def disconnect(pipeline: Pipeline, _: Random) -> str:
    before = _connections(pipeline)
    pipeline.exchange.command("disconnect")
    return f"{before} connections to the exchange were cut"


def shutdown_notice(pipeline: Pipeline, random: Random) -> str:
    before = _connections(pipeline)
    pipeline.exchange.command("server_shutdown", lead_ms=random.randint(500, 3000))
    return f"{before} connections were told of a shutdown and closed"


def exchange_restart(pipeline: Pipeline, random: Random) -> str:
    return _troubled(pipeline, "restart", down_ms=random.randint(500, 3000))


def refuse_connections(pipeline: Pipeline, random: Random) -> str:
    pipeline.exchange.command("disconnect")
    return _troubled(pipeline, "refuse_connections", for_ms=random.randint(500, 3000))


def fail_rest(status: int):
    def run(pipeline: Pipeline, random: Random) -> str:
        _make_a_hole(pipeline, random)
        return _troubled(pipeline, "fail_rest", status=status, for_ms=random.randint(1000, 4000))

    return run


def slow_rest(pipeline: Pipeline, random: Random) -> str:
    _make_a_hole(pipeline, random)
    return _troubled(pipeline, "slow_rest", delay_ms=random.randint(500, 3000), for_ms=5000)


def lagging_rest(pipeline: Pipeline, random: Random) -> str:
    """Never by more than two probes lie apart: what lags longer than that, nobody can tell from silence."""
    _make_a_hole(pipeline, random)
    return _troubled(pipeline, "lag_rest", lag_ms=random.randint(100, 900), for_ms=5000)


def stalled_symbol(pipeline: Pipeline, random: Random) -> str:
    symbol = random.choice(BUSY)
    before = _spoiled(pipeline, symbol)
    pipeline.exchange.command("stall", symbol=symbol, stalled=True)
    try:
        # After another fault nobody may be connected for a while.
        wait_until(f"{symbol} is silent", LONGEST_EFFECT_S, lambda: _spoiled(pipeline, symbol) > before)
        time.sleep(random.uniform(2.0, 5.0))
    finally:
        pipeline.exchange.command("stall", symbol=symbol, stalled=False)
    return f"{symbol} was silent: {_spoiled(pipeline, symbol) - before} frames"


def withheld_trades(pipeline: Pipeline, random: Random) -> str:
    symbol = random.choice(BUSY)
    return _spoil(pipeline, symbol, f"trades of {symbol} were withheld", lambda: _make_a_hole(pipeline, random, symbol))


def frames(name: str, **arguments: object):
    def run(pipeline: Pipeline, random: Random) -> str:
        symbol, count = random.choice(BUSY), random.randint(1, 20)
        if arguments.get("frame") == "oversized":
            count = 2
        what = " ".join([name, *map(str, arguments.values())]).replace("_", " ")
        return _spoil(pipeline, symbol, f"{symbol}: {what}", lambda: pipeline.exchange.command(name, symbol=symbol, count=count, **arguments))

    return run


def halt(pipeline: Pipeline, random: Random) -> str:
    symbol = random.choice(BUSY)
    pipeline.exchange.command("set_status", symbol=symbol, status=random.choice(("HALT", "BREAK")))
    before = pipeline.exchange.symbols()[symbol]["played"]
    time.sleep(random.uniform(1.0, 4.0))
    after = pipeline.exchange.symbols()[symbol]
    pipeline.exchange.command("set_status", symbol=symbol, status="TRADING")
    if after["played"] != before or after["status"] == "TRADING":
        raise NoEffect(f"{symbol} went on trading")
    return f"{symbol} was halted"


def _connections(pipeline: Pipeline) -> int:
    """How many there are, as soon as there are any: after another fault there may be none for a while."""
    wait_until("somebody is connected to the exchange", LONGEST_EFFECT_S, lambda: pipeline.exchange.status()["connections"] > 0)
    return pipeline.exchange.status()["connections"]


def _make_a_hole(pipeline: Pipeline, random: Random, symbol: str | None = None) -> None:
    """Trades that are about to come and are never sent: somebody has to ask for them."""
    symbol = symbol or random.choice(BUSY)
    # None is played where the ids have just begun anew.
    last_id = pipeline.exchange.symbols()[symbol]["last_played_id"] or 0
    first_id = last_id + random.randint(20, 60)
    pipeline.exchange.command("withhold_trades", symbol=symbol, first_id=first_id, last_id=first_id + random.randint(0, 50))


def _troubled(pipeline: Pipeline, name: str, **arguments: object) -> str:
    """Until somebody meets with it: whoever rests after another fault asks for nothing for a while."""
    exchange = pipeline.exchange
    before = exchange.status()["troubled_requests"]
    _repeat_until_met(f"somebody meets with {name}", lambda: exchange.command(name, **arguments), lambda: exchange.status()["troubled_requests"] > before)
    return f"{name.replace('_', ' ')} {arguments}: met {exchange.status()['troubled_requests'] - before} times"


def _spoil(pipeline: Pipeline, symbol: str, what: str, begin: Callable[[], None]) -> str:
    """Until a frame is spoiled: after another fault nobody may be connected when the trades come that are meant."""
    before = _spoiled(pipeline, symbol)
    _repeat_until_met(what, begin, lambda: _spoiled(pipeline, symbol) > before)
    return f"{what}: {_spoiled(pipeline, symbol) - before} frames"


def _repeat_until_met(what: str, begin: Callable[[], None], is_met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_EFFECT_S
    while not is_met():
        if time.monotonic() > deadline:
            raise NoEffect(f"within {LONGEST_EFFECT_S} s it did not happen that {what}")
        begin()
        with contextlib.suppress(Failed):
            wait_until(what, 10, is_met)


def _spoiled(pipeline: Pipeline, symbol: str) -> int:
    return pipeline.exchange.symbols()[symbol]["spoiled_frames"]


FAULTS = [
    Fault("exchange disconnects", "exchange", disconnect),
    Fault("exchange announces a shutdown", "exchange", shutdown_notice),
    Fault("exchange restarts", "exchange", exchange_restart),
    Fault("exchange refuses connections", "exchange", refuse_connections),
    Fault("a symbol falls silent", "streams", stalled_symbol),
    Fault("a symbol is halted", "streams", halt),
    Fault("trades withheld", "streams", withheld_trades),
    Fault("duplicated frames", "streams", frames("duplicate_frames")),
    Fault("reordered frames", "streams", frames("delay_frames")),
    Fault("damaged frames", "streams", frames("damage_frames")),
    *[Fault(f"false frames: {frame.replace('_', ' ')}", "streams", frames("false_frames", frame=frame)) for frame in FALSE_FRAMES],
    *[Fault(f"REST answers {status}", "rest", fail_rest(status)) for status in (418, 429, 500, 503)],
    Fault("slow REST", "rest", slow_rest),
    Fault("lagging REST", "rest", lagging_rest),
]
