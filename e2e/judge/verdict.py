"""What was looked at, and what was wrong."""

# Where everything is wrong, the first ones tell as much as all of them.
MOST_PROBLEMS = 200


class Verdict:
    """Grows while things are judged."""

    def __init__(self) -> None:
        self.trades = 0
        self.complete = 0
        self.equal = 0
        self.problems: list[str] = []

    def wrong(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def passed(self) -> bool:
        """Whether something was claimed, and every claim holds."""
        return self.complete > 0 and not self.problems

    def __str__(self) -> str:
        return f"{self.equal} of {self.complete} complete candles equal the exchange's"
