"""Superset as its users meet it: its API, for somebody who has logged in, and what a dashboard shows in a browser."""

import http.cookiejar
import json
import re
import urllib.error
import urllib.parse
import urllib.request

from steps import Failed

# What each of the dashboard's charts shows: its name, whether it is at work, what it complains of, what it has drawn.
LOOK = """
return [...document.querySelectorAll('[data-test="dashboard-component-chart-holder"]')].map(holder => ({
  name: (holder.querySelector('[data-test="slice-header"]') || holder).innerText.split('\\n')[0],
  works: holder.querySelectorAll('.loading, [data-test="loading-indicator"]').length > 0,
  complaints: [...holder.querySelectorAll('[role="alert"], .ant-alert, .ant-empty, .missing-chart-container')].map(node => node.innerText),
  drawn: [...holder.querySelectorAll('canvas')].some(canvas => canvas.width && canvas.height
           && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(byte => byte))
         || holder.querySelectorAll('tbody tr td').length > 0 || [...holder.querySelectorAll('.header-line')].some(node => node.innerText.trim()),
}))
"""
# Which of these colours (red, green, blue) a chart has in its picture.
COLOURS = """
const holder = [...document.querySelectorAll('[data-test="dashboard-component-chart-holder"]')].find(holder => holder.innerText.split('\\n')[0] === arguments[0]);
const canvas = holder.querySelector('canvas'), data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const seen = new Set();
for (let at = 0; at < data.length; at += 4) seen.add(data.slice(at, at + 3).join());
return arguments[1].filter(colour => seen.has(colour.join()));
"""


class Api:
    """Superset's, as somebody who has logged in by its form, like a browser."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))
        with self._opener.open(f"{url}/login/", timeout=60) as answer:
            token = re.search(r'id="csrf_token"[^>]*value="([^"]+)"', answer.read().decode())
        if token is None:
            raise Failed("Superset's form has no token")
        form = urllib.parse.urlencode({"username": user, "password": password, "csrf_token": token.group(1)})
        self._opener.open(urllib.request.Request(f"{url}/login/", data=form.encode(), headers={"Referer": f"{url}/login/"}), timeout=60).close()
        self._token = ""
        self._token = self.get("security/csrf_token/")["result"]

    def session(self) -> str:
        (cookie,) = [cookie.value for cookie in self._jar if cookie.name == "session"]
        return cookie

    def get(self, path: str) -> dict:
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        headers = {"Referer": self._url, "X-CSRFToken": self._token}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            with self._opener.open(urllib.request.Request(f"{self._url}/api/v1/{path}", data=data, headers=headers, method=method), timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Failed(f"Superset refuses {method} {path}: {error.code} {error.read().decode()[:2000]}") from error
