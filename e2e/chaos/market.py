"""What is traded in a round."""

# Trades per second of each symbol: busy ones, a calm one, and one with long silences.
MARKET = {"BTCUSDT": 700, "ETHUSDT": 350, "SOLUSDT": 150, "ADAUSDT": 20, "QUIETUSDT": 1}
# In such a symbol a fault of the stream is soon seen.
BUSY_RATE = 20
BUSY = [symbol for symbol, rate in MARKET.items() if rate >= BUSY_RATE]
LEAST_TRADES = 20_000
# So calm that days of it can be loaded and judged in a minute.
CALM_MARKET = dict.fromkeys(MARKET, 0.1)


def soon_traded(market: dict[str, float]) -> int:
    """How many symbols have trades before long: the busy ones, or all where none is."""
    return sum(1 for rate in market.values() if rate >= BUSY_RATE) or len(market)


def generated(seed: int, market: dict[str, float], past_h: int = 0) -> list[str]:
    """The simulator's arguments: it begins with the first subscription, so that the first trade is not missed, or with
    so many hours in the past."""
    symbols = [f"{symbol}={rate}/s" for symbol, rate in market.items()]
    past = ["--history", f"{past_h}h"] if past_h else ["--wait"]
    # What is asked every minute in earnest is asked every few seconds here: the budget must allow for it.
    return ["--generate", *symbols, "--seed", str(seed), *past, "--weight-per-minute", "60000"]
