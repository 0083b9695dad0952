"""What is traded in a round."""

# Trades per second of each symbol: busy ones, a calm one, and one with long silences.
MARKET = {"BTCUSDT": 700, "ETHUSDT": 350, "SOLUSDT": 150, "ADAUSDT": 20, "QUIETUSDT": 1}
# Those in which a fault of the stream is soon seen.
BUSY = [symbol for symbol, rate in MARKET.items() if rate >= 20]
LEAST_TRADES = 20_000


def generated(seed: int, market: dict[str, float] | None = None) -> list[str]:
    """The simulator's arguments: it begins with the first subscription, so that the first trade is not missed."""
    symbols = [f"{symbol}={rate}/s" for symbol, rate in (market or MARKET).items()]
    # What is asked every minute in earnest is asked every few seconds here: the budget must allow for it.
    return ["--generate", *symbols, "--seed", str(seed), "--wait", "--weight-per-minute", "60000"]
