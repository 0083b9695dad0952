"""Headless Chromium, driven as a person would by Debian's chromedriver, over plain HTTP (the WebDriver protocol)."""

import base64
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from demo import stop
from steps import Failed, wait_until

# As root it has no sandbox, and nothing that it might ask its maker for is wanted in a test.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # Superset's pages count their visitors elsewhere.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
LONGEST_ANSWER_S = 60


class Browser:
    """One window, with a profile that nobody had before."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._log = folder / "chromedriver.log"
        profile = folder / "chromium"
        profile.mkdir()
        with self._log.open("wb") as log:
            # What Chromium keeps beside its profile goes there too.
            environment = os.environ | {"HOME": str(profile), "TMPDIR": str(profile)}
            self._process = subprocess.Popen(["chromedriver", "--port=0"], stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            wait_until("chromedriver listens", 30, lambda: self._port() is not None)
            self._url = f"http://127.0.0.1:{self._port()}/session"
            options = {"args": [*FLAGS, f"--user-data-dir={profile}/profile", f"--window-size={width},{height}"]}
            answer = self._ask("", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
            self._url += f"/{answer['sessionId']}"
        except BaseException:
            stop(self._process)
            raise

    def open(self, url: str) -> None:
        self._ask("/url", {"url": url})

    def add_cookie(self, name: str, value: str) -> None:
        """For the site that is open."""
        self._ask("/cookie", {"cookie": {"name": name, "value": value}})

    def run(self, script: str, *arguments: object) -> object:
        """What the body of a function returns in the page."""
        return self._ask("/execute/sync", {"script": script, "args": arguments})

    def picture(self, path: Path) -> None:
        """What is to be seen, as PNG."""
        path.write_bytes(base64.b64decode(self._ask("/screenshot")))

    def end(self) -> None:
        try:
            self._ask("", method="DELETE")
        except (Failed, OSError):
            pass
        finally:
            stop(self._process)

    def _port(self) -> str | None:
        if self._process.poll() is not None:
            raise Failed(f"chromedriver has ended:\n{self._log.read_text(encoding='utf-8')}")
        found = re.search(r"on port (\d+)\.", self._log.read_text(encoding="utf-8"))
        return found and found.group(1)

    def _ask(self, path: str, body: dict | None = None, method: str | None = None) -> object:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LONGEST_ANSWER_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise Failed(f"the browser refuses {path or method}: {error.read().decode()[:1000]}") from error
