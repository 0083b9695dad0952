#!/usr/bin/env python3
"""Makes the ZIP that `superset import-dashboards` takes of the files in export/.

usage: bundle.py [--schema NAME] OUTPUT.zip

The schema is that of the CryptoPipeline, spec.database.schema: market, where the manifest does not say.
"""

import argparse
import re
import zipfile
from pathlib import Path

EXPORT = Path(__file__).resolve().parent / "export"
DEFAULT_SCHEMA = "market"
# The ZIP is the same wherever and whenever it is made.
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schema", default=DEFAULT_SCHEMA)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    if not re.fullmatch("[a-z_][a-z0-9_]*", arguments.schema):
        parser.error(f"--schema: {arguments.schema} is no name of a schema")
    with zipfile.ZipFile(arguments.output, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path in sorted(EXPORT.rglob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            if path.parent.parent.name == "datasets":
                text = in_schema(text, arguments.schema)
            # Superset takes off the first folder.
            bundle.writestr(zipfile.ZipInfo(f"cryptopipeline/{path.relative_to(EXPORT)}", LONG_AGO), text)


def in_schema(dataset: str, schema: str) -> str:
    changed, count = re.subn(f"^schema: {DEFAULT_SCHEMA}$", f"schema: {schema}", dataset, flags=re.M)
    if count != 1:
        raise SystemExit(f"a dataset names its schema {count} times")
    return changed


if __name__ == "__main__":
    main()
