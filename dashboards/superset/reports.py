#!/usr/bin/env python3
"""Makes the alert and the report in reports/, which Superset's exports cannot hold, or brings those that are there up to date.

usage: SUPERSET_PASSWORD=.. reports.py [--schema NAME] [--user NAME] --mail ADDRESS URL

The dashboard has to be imported, and ALERT_REPORTS switched on. The schema is that of the CryptoPipeline, spec.database.schema.
"""

import argparse
import http.cookiejar
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "reports"
DASHBOARD = "cryptopipeline-market"
DATABASE = "CryptoPipeline"
DEFAULT_SCHEMA = "market"
LONGEST_ANSWER_S = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schema", default=DEFAULT_SCHEMA)
    parser.add_argument("--user", default="admin")
    parser.add_argument("--mail", required=True, metavar="ADDRESS", help="who is written to")
    parser.add_argument("url", metavar="URL", help="Superset's, such as https://superset.example.com")
    arguments = parser.parse_args()
    if not re.fullmatch("[a-z_][a-z0-9_]*", arguments.schema):
        parser.error(f"--schema: {arguments.schema} is no name of a schema")
    password = os.environ.get("SUPERSET_PASSWORD")
    if password is None:
        parser.error(f"the password of {arguments.user} is wanted in the environment, as SUPERSET_PASSWORD")
    superset = Superset(arguments.url.rstrip("/"), arguments.user, password)
    there = {row["name"]: row["id"] for row in superset.rows("report", columns=["id", "name"])}
    for path in sorted(FOLDER.glob("*.json")):
        wished = report(path, superset, arguments.schema, arguments.mail)
        if wished["name"] in there:
            superset.ask("PUT", f"report/{there[wished['name']]}", wished)
        else:
            superset.ask("POST", "report/", wished)
        print(f"{wished['type']} {wished['name']}: {'up to date' if wished['name'] in there else 'made'}")


def report(path: Path, superset: "Superset", schema: str, mail: str) -> dict:
    """As Superset's API takes it: charts, dashboards and databases by their ids."""
    wished = json.loads(path.read_text(encoding="utf-8"))
    wished |= {"creation_method": "alerts_reports", "recipients": [{"type": "Email", "recipient_config_json": {"target": mail}}]}
    if "chart" in wished:
        wished["chart"] = superset.chart(wished["chart"])
    else:
        wished["dashboard"] = superset.dashboard()["id"]
    if wished["type"] == "Alert":
        wished["database"] = superset.database()
        wished["sql"] = path.with_suffix(".sql").read_text(encoding="utf-8").replace(f"{DEFAULT_SCHEMA}.", f"{schema}.")
    return wished


class Superset:
    """Its API, as somebody who has logged in."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        # What the API makes has to come with the session that its token was given to.
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self._headers = {"Referer": url}
        login = {"username": user, "password": password, "provider": "db"}
        self._headers["Authorization"] = f"Bearer {self.ask('POST', 'security/login', login)['access_token']}"
        self._headers["X-CSRFToken"] = self.ask("GET", "security/csrf_token/")["result"]

    def ask(self, method: str, path: str, body: dict | None = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers if data is None else self._headers | {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/api/v1/{path}", data=data, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=LONGEST_ANSWER_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()[:1000]}") from error

    def rows(self, kind: str, columns: list[str]) -> list[dict]:
        """All of a kind."""
        query = f"(columns:!({','.join(columns)}),page_size:1000)"
        return self.ask("GET", f"{kind}/?q={urllib.parse.quote(query)}")["result"]

    def dashboard(self) -> dict:
        return self.ask("GET", f"dashboard/{DASHBOARD}")["result"]

    def chart(self, name: str) -> int:
        """The id of one of the dashboard's charts."""
        return only(row["id"] for row in self.ask("GET", f"dashboard/{DASHBOARD}/charts")["result"] if row["slice_name"] == name)

    def database(self) -> int:
        return only(row["id"] for row in self.rows("database", columns=["id", "database_name"]) if row["database_name"] == DATABASE)


def only(found: list) -> int:
    found = list(found)
    if len(found) != 1:
        raise SystemExit(f"there are {len(found)} of what there should be one of: is the dashboard imported?")
    return found[0]


if __name__ == "__main__":
    main()
