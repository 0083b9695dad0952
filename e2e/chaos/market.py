"""What is traded in a round."""

# Trades per second of each symbol: busy ones, a calm one, and one with long silences.
MARKET = {"BTCUSDT": 700, "ETHUSDT": 350, "SOLUSDT": 150, "ADAUSDT": 20, "QUIETUSDT": 1}
# Those in which a fault of the stream is soon seen.
BUSY = [symbol for symbol, rate in MARKET.items() if rate >= 20]
LEAST_TRADES = 20_000
# So calm that days of it can be loaded and judged in a minute.
CALM_MARKET = dict.fromkeys(MARKET, 0.1)


def generated(seed: int, market: dict[str, float], past_h: int = 0) -> list[str]:
    """The simulator's arguments: it begins with the first subscription, so that the first trade is not missed, or with
    so many hours in the past."""
    symbols = [f"{symbol}={rate}/s" for symbol, rate in market.items()]
    past = ["--history", f"{past_h}h"] if past_h else ["--wait"]
    # What is asked every minute in earnest is asked every few seconds here: the budget must allow for it.
    return ["--generate", *symbols, "--seed", str(seed), *past, "--weight-per-minute", "60000"]
