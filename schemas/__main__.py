"""The commands of the contracts: `python -m schemas compare OLD NEW`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from schemas.compatibility import Change, Comparison, compare
from schemas.references import SchemaError, root_of_file

_COMPATIBLE: Final = 0
_BREAKING: Final = 1
_UNUSABLE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when the new schema is compatible, 1 when it breaks something, 2 when a schema cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m schemas", description="The contracts of the pipeline.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    comparing = commands.add_parser("compare", help="say what a change of a JSON Schema breaks")
    comparing.add_argument("old", type=Path, help="the schema as it is; references lead to the files beside it")
    comparing.add_argument("new", type=Path, help="the schema as it is to be")
    comparing.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    try:
        found = compare(root_of_file(given.old), root_of_file(given.new))
    except SchemaError as error:
        sys.stderr.write(f"{error}\n")
        return _UNUSABLE
    sys.stdout.write(json.dumps(found.as_dict(), default=float) + "\n" if given.json else _told(found))
    return _COMPATIBLE if found.compatible else _BREAKING


def _told(found: Comparison) -> str:
    return "".join([*map(_line, found.changes), f"{found.reason}\n"])


def _line(change: Change) -> str:
    mark = "breaking    " if change.breaking else "not breaking"
    return f"{mark}  {change.pointer}  {change.kind}: {_short(change.before)} -> {_short(change.after)}\n"


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, default=float)
    return text if len(text) <= 60 else f"{text[:57]}..."


if __name__ == "__main__":
    sys.exit(main())
