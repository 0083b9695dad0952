"""Judges the samples of a round once the truth is known."""

import bisect
import re

from judge import snapshot as of
from judge.judge import judge_claims
from judge.ledger import missing_ids
from judge.snapshot import Snapshot, ranges_of, stored_candle
from judge.truth import Truth, newest_series
from judge.verdict import Verdict
from judge.windows import judge_complete_candles, judge_empty_windows

from .sampler import Sample, Sampler

# How long DataContinuous may lag behind the ledger: the operator looks every few seconds, and a hole counts only after
# all that may still wait in the topic was read, and five seconds more.
TRUE_LAG_S = 20
# How long DataContinuous may stay False once nothing is missing any more.
FALSE_LAG_S = 30
# How old the ids may be that it names: texts and figures are renewed once a minute.
NAMED_LAG_S = 75


def judge_samples(sampler: Sampler, truths: dict[str, Truth], stores_trades: bool) -> Verdict:
    """Every claim of every sample; `complete` counts different claims about candles."""
    verdict = Verdict()
    judge_complete_candles(verdict, map(stored_candle, sampler.once(of.CLAIMED_CANDLES)), truths)
    empty = sampler.once(of.EMPTY)
    judge_empty_windows(verdict, empty, truths)
    verdict.complete += len(empty)
    seen = None
    for sample in sampler.samples:
        # Much of the time nothing has changed.
        if sample.rows is not None and sample.rows != seen:
            seen = sample.rows
            verdict.problems += judge_claims(sample.rows, truths, stores_trades).problems
    _judge_continuity(verdict, sampler.samples)
    _judge_verification(verdict, sampler.samples)
    return verdict


def _judge_verification(verdict: Verdict, samples: list[Sample]) -> None:
    """Nobody has spoiled a candle: to call one wrong would be a false alarm."""
    for sample in samples:
        condition = sample.conditions.get("DataVerified", {})
        if condition.get("status") == "False":
            verdict.wrong(f"DataVerified is False: {condition['message']}")
            return


def _judge_continuity(verdict: Verdict, samples: list[Sample]) -> None:
    missing = [_missing(sample.rows) for sample in samples]
    times = [sample.at_s for sample in samples]
    for index, sample in enumerate(samples):
        condition = sample.conditions.get("DataContinuous")
        if condition is None:
            continue

        def within(lag_s: int) -> list[dict[str, set[int]]]:
            """What was missing in the time before; nothing where that begins before the first sample."""
            first = bisect.bisect_left(times, sample.at_s - lag_s)
            return [ids for ids in missing[first : index + 1] if ids is not None] if first else []

        if condition["status"] == "True":
            recent = within(TRUE_LAG_S)
            if recent and all(any(ids.values()) for ids in recent):
                symbol = next(symbol for symbol, ids in recent[-1].items() if ids)
                verdict.wrong(f"DataContinuous has been True for {TRUE_LAG_S} s while {symbol} misses {len(recent[-1][symbol])} trades")
        elif condition["reason"] == "TradesMissing":
            recent = within(FALSE_LAG_S)
            if recent and not any(any(ids.values()) for ids in recent):
                verdict.wrong(f"DataContinuous has been False for {FALSE_LAG_S} s while nothing is missing: {condition['message']}")
            recent = within(NAMED_LAG_S)
            for symbol, first_id, last_id in named_ids(condition["message"]):
                named = set(range(first_id, last_id + 1))
                # A message never means a series that has ended.
                if recent and not any(named <= ids.get(newest_series(symbol, ids), set()) for ids in recent):
                    verdict.wrong(f"DataContinuous says that {symbol} misses {first_id}..{last_id}; it has not in the last {NAMED_LAG_S} s")


def named_ids(message: str) -> list[tuple[str, int, int]]:
    """The ids that a message like `venue:BTCUSDT misses 1,203 trades (ids 5..9, 12)` names, by symbol."""
    found = []
    for symbol, ids in re.findall(r":(\w+) misses [\d,]+ trades? \(ids ([^)]*)\)", message):
        for first, last in re.findall(r"(\d+)(?:\.\.(\d+))?", ids):
            found.append((symbol, int(first), int(last or first)))
    return found


def _missing(rows: Snapshot | None) -> dict[str, set[int]] | None:
    if rows is None:
        return None
    ranges = ranges_of(rows[of.RANGES])
    probes, starts = ({row["symbol"]: row for row in rows[name]} for name in (of.PROBES, of.STARTS))
    symbols = [head["symbol"] for head in rows[of.HEADS]]
    return {symbol: missing_ids(ranges.get(symbol, []), probes.get(symbol), starts.get(symbol)) for symbol in symbols}
