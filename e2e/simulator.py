"""The simulated exchange's own interface: what shall go wrong, and what has been played (../crates/exchange-sim/src/control.rs)."""

import json
import urllib.error
import urllib.request

from steps import Failed


def command(address: str, name: str, **arguments: object) -> None:
    body = json.dumps({"command": name, **arguments}).encode()
    request = urllib.request.Request(f"http://{address}/control/command", data=body)
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        raise Failed(f"the simulator refuses {body.decode()}: {error.read().decode()}") from error


def status(address: str) -> dict:
    with urllib.request.urlopen(f"http://{address}/control/status", timeout=10) as answer:
        return json.load(answer)
