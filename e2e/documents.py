"""The commands that README.md and the examples show, and whether a test runs each of them."""

import re

from steps import CHECKOUT, Failed

README = CHECKOUT / "README.md"
EXAMPLES = CHECKOUT / "examples"
ON_THIS_MACHINE = "Try it on this machine"
ON_KIND = "On kind"

DEMO_OF_A_RECORDING = "make demo TRADES=path/to/BTCUSDT-trades-2026-01-01.csv.gz"
RUN_LOCAL = "cryptopipeline run examples/local.yaml"
# In the README's sentences: run by readme.py, or by whom else.
IN_SENTENCES = {
    DEMO_OF_A_RECORDING: "readme.py",
    RUN_LOCAL: "readme.py",
    "make test": "runs e2e/test, and so all of this",
    "make bench": "e2e/test, in small",
    "make bench-operator": "e2e/test, in small",
    "make check": "e2e/test",
    "make e2e ONLY=rest-mysql": "e2e/test, all three of them at once",
    "make chaos": "e2e/test, some fixed rounds",
    "make sabotage": "e2e/test",
    "make fuzz": "e2e/test, for a short while",
}
RUN_EXAMPLES = {
    "binance.yaml", "history.yaml", "keda.yaml", "local.yaml", "ohlc-postgres.yaml", "plugin-roles.yaml", "quickstart.yaml", "rest-mysql.yaml", "secure.yaml",
    "whales-scram.yaml",
}
PROGRAM = r"(make|cargo|cryptopipeline|kubectl|helm|kind|docker|python3|testbed/\w+|target/\S+/\w+|\./\S+) \S"


def blocks_of_readme() -> dict[str, list[str]]:
    """The lines of the command blocks below each heading of the README, continued lines joined."""
    found: dict[str, list[str]] = {}
    heading, fence, before = "", None, ""
    for line in README.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fence = None if fence is not None else line[3:].strip()
        elif fence is None and line.startswith("#"):
            heading = line.lstrip("# ")
        elif (fence is None and re.match(" {4}", line)) or fence in ("", "sh", "bash", "shell", "console"):
            text = line.strip().removeprefix("$ ")
            lines = found.setdefault(heading, [])
            if before.endswith("\\"):
                lines[-1] = f"{lines[-1].removesuffix(chr(92)).strip()} {text}"
            elif text:
                lines.append(text)
        before = line
    return found


def section_of_readme(heading: str) -> list[str]:
    """The commands of a section; there are some."""
    lines = blocks_of_readme().get(heading, [])
    if not lines:
        raise Failed(f"README.md shows no commands under the heading {heading!r}")
    return lines


def commands_in_sentences() -> set[str]:
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```$", "", README.read_text(encoding="utf-8")))
    return {span for span in spans if re.match(PROGRAM, span)}


def commands_of_example(name: str) -> list[str]:
    """The commands in the comment at the top of an example."""
    comment = re.match(r"(#.*\n)*", (EXAMPLES / name).read_text(encoding="utf-8")).group(0)
    return re.findall(r"^# {3,}(\S.*)$", comment, re.M)


def single_commands(lines: list[str]) -> set[str]:
    """What the lines run, one by one."""
    return {part.strip() for line in lines for part in line.split("&&")}


def example_files() -> set[str]:
    return {path.name for path in EXAMPLES.iterdir()}


def every_command_is_run() -> None:
    """Nothing is shown that no test knows of."""
    others = set(blocks_of_readme()) - {ON_THIS_MACHINE, ON_KIND}
    if others:
        raise Failed(f"README.md shows commands that no test runs, under {', '.join(sorted(others))}")
    shown = commands_in_sentences()
    if unknown := shown - set(IN_SENTENCES):
        raise Failed(f"README.md shows commands that no test runs: {', '.join(sorted(unknown))}")
    if gone := {RUN_LOCAL, DEMO_OF_A_RECORDING} - shown:
        raise Failed(f"README.md does not show what is run in its name: {', '.join(sorted(gone))}")
    if example_files() != RUN_EXAMPLES:
        raise Failed(f"not every example is run by a test: {', '.join(sorted(example_files()))}")
    on_kind = single_commands(section_of_readme(ON_KIND))
    if unknown := set(commands_of_example("quickstart.yaml")) - on_kind:
        raise Failed(f"examples/quickstart.yaml shows other commands than the README: {', '.join(sorted(unknown))}")
