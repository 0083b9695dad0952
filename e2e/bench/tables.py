"""The figures as people read them: beside what limits them, and beside what the three systems claim for themselves."""

from .rig import SYMBOLS, Figures

TRADES_STORED = 100_000_000


def beside_limits(figures: Figures) -> str:
    def of(name: str, unit: str) -> str:
        return f"{figures[f'{name} per second']:,.0f} {unit}/s"

    def share(name: str, limit: str) -> str:
        return f"{figures[f'{name} per second'] / figures[f'{limit} per second']:.0%}"

    way = [
        f"{part} {figures[f'live {part} median ms']:.0f} ms, {figures[f'live {part} p99 ms']:.0f} ms"
        for part in ("to the producer", "producer to broker", "broker to row")
    ]
    rows = [
        ("what", "figure", "beside"),
        ("loop that reads frames", of("frames", "frames"), "the limit of the next line"),
        ("producer", of("producer", "trades"), f"{share('producer', 'frames')} of the loop; {figures['producer as fast as it can MB']:.0f} MB"),
        ("poll loop that only counts", of("poll loop", "records"), "the limit of the next line"),
        ("aggregator, trades not stored", of("without trades", "trades"), f"{share('without trades', 'poll loop')} of the poll loop"),
        ("COPY of the same rows", of("COPY", "rows"), "the limit of the next two lines"),
        ("aggregator, trades stored", of("with trades", "trades"), f"{share('with trades', 'COPY')} of COPY"),
        ("aggregator, averages, whales too", of("with indicators", "trades"), f"{share('with indicators', 'COPY')} of COPY"),
        ("LOAD DATA of the same rows", of("LOAD DATA", "rows"), "the limit of the next line"),
        ("aggregator on MariaDB", of("on MariaDB", "trades"), f"{share('on MariaDB', 'LOAD DATA')} of LOAD DATA"),
        (
            "exchange to readable row",
            f"{figures['live exchange to row p99 ms']:.0f} ms at the 99th percentile",
            f"median {figures['live exchange to row median ms']:.0f} ms, largest {figures['live exchange to row largest ms']:.0f} ms, at {of('live records', 'trades')}",
        ),
        ("the way there, median and p99", f"{way[0]}; {way[1]}", way[2]),
        (
            "repair of what was missing",
            f"{figures['repaired trades']:,.0f} trades in {figures['repair s']:.0f} s",
            f"{figures['repair s'] / figures['repair by half of the budget s']:.0%} of what half of the request budget takes; {figures['repair requests refused']:.0f} requests refused",
        ),
        (
            "exchange to row while repairing",
            f"{figures['latency with repair p99 ms']:.0f} ms at the 99th percentile",
            f"{figures['latency with repair p99 ms'] / figures['latency without repair p99 ms']:.2f} times that without ({figures['latency without repair p99 ms']:.0f} ms)",
        ),
        ("memory of the producer", f"{figures['live producer MB']:.0f} MB", "largest, at that rate"),
        ("memory of the aggregator", f"{figures['live aggregator MB']:.0f} MB", f"largest, at that rate; {figures['aggregator catching up MB']:.0f} MB catching up"),
        ("memory of the operator", f"{figures['operator MB']:.0f} MB", "largest, with one pipeline"),
    ]
    return _lines(rows)


def beside_systems(figures: Figures) -> str:
    def p99(system: str, part: str) -> str:
        return f"{figures[f'{system} {part} p99 ms']:.0f} ms, median {figures[f'{system} {part} median ms']:.0f} ms"

    def rate(name: str, what: str, seconds: int = 1) -> str:
        return f"{figures[f'{name} per second'] * seconds:,.0f} {what}"

    def memory(system: str, program: str) -> str:
        return f"{figures[f'{system} {program} MB']:.0f} MB"

    rest, ohlc, whales = "rest-mysql", "ohlc-postgres", "whales-scram"
    quick = "whales-scram, flushInterval 10ms"

    def storage(what: str) -> str:
        return f"{figures[what] * TRADES_STORED / 1e9:.1f} GB"

    rows = [
        ("figure", "theirs", "ours"),
        (f"{rest}: producer to broker", "none", p99(rest, "producer to broker")),
        (f"{rest}: broker to row in MariaDB", "none", p99(rest, "broker to row")),
        (f"{rest}: memory", "none", f"producer {memory(rest, 'producer')}, aggregator {memory(rest, 'aggregator')}"),
        (f"{ohlc}: producer to broker", "< 100 ms", p99(ohlc, "producer to broker")),
        (f"{ohlc}: to the database", "< 500 ms", p99(ohlc, "broker to row")),
        (f"{ohlc}: exchange to row", "< 1 s", p99(ohlc, "exchange to row")),
        (f"{ohlc}: messages a second", "10,000", rate("producer", "trades produced")),
        (f"{ohlc}: inserts a second", "5,000", rate("with trades", "rows of trades")),
        (f"{ohlc}: records a minute, in batch", "60,000", rate("without trades", "trades made into candles", 60)),
        (f"{ohlc}: a day of {len(SYMBOLS)} symbols", "~1 GB", f"{figures['MB a day of samples']:.0f} MB, a sample a second"),
        (f"{ohlc}: memory", "none", f"producer {memory(ohlc, 'producer')}, aggregator {memory(ohlc, 'aggregator')}"),
        (f"{whales}: producer, messages a second", "1,000", rate("whales-scram producer", "trades produced")),
        (f"{whales}: producer, latency", "< 10 ms", p99(whales, "producer to broker")),
        (f"{whales}: producer, memory", "~50 MB", memory(whales, "producer")),
        (f"{whales}: consumer, messages a second", "500", rate("whales-scram aggregator", "trades stored")),
        (f"{whales}: consumer, latency", "~50 ms", p99(whales, "broker to row")),
        (f"{whales}: the same, flushInterval 10ms", "~50 ms", p99(quick, "broker to row")),
        (f"{whales}: consumer, memory", "~100 MB", memory(whales, "aggregator")),
        (f"{whales}: {TRADES_STORED // 1_000_000} M trades", "~10 GB", f"{storage('bytes a trade')}; {storage('bytes a trade in their table')} in a table like theirs"),
    ]
    return _lines(rows)


def _lines(rows: list[tuple[str, str, str]]) -> str:
    """As Markdown: the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    head, *rest = [[f"{cell:{width}}" for cell, width in zip(row, widths)] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["-" * width for width in widths], *rest))
