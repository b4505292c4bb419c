"""Find todos whose user is gone, and remove them (LC-137): `python -m functions.todos.checker`, or a scheduled Lambda.

Owns the one rule across the stores: every todo has a user. Todos are read before their users are looked for, and a todo
younger than the grace period is left alone, so one that is just being created is never taken for an orphan. Before
a removal the user is looked for once more, and a store that does not answer ends the run: silence is no proof.

Exit codes: 0 every todo has a user, 1 some have none, 2 a store does not answer, 3 the settings are wrong.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from aws_lambda_powertools import Logger
from pydantic import ValidationError

from database import Deadline
from functions.todos import logs
from functions.todos.faults import StoreUnavailableError
from functions.todos.items import Items, Todo
from functions.todos.model import identity, instant
from functions.todos.settings import TodoSettings, complaint
from functions.todos.system import System
from functions.todos.users import Users

_SHOWN: Final = 100
_QUESTION_SECONDS: Final = 20.0


@dataclass(slots=True)
class Report:
    """What a run has seen and done.

    Attributes:
        checked: Todos that were read.
        young: Todos without a user that the grace period still protects.
        orphans: Todos without a user, older than that.
        repaired: Orphans that were removed.
        examples: Ids of the first hundred orphans.
    """

    checked: int = 0
    young: int = 0
    orphans: int = 0
    repaired: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def consistent(self) -> bool:
        """Tell whether no orphan is left; one that is young has not been judged."""
        return self.orphans == self.repaired


def check(users: Users, items: Items, now: Callable[[], datetime], grace: float, *, repair: bool) -> Report:
    """Look at every todo once, a page at a time, and remove the orphans if asked to.

    Args:
        users: Where users are looked for.
        items: Whose todos are read.
        now: The moment, in UTC.
        grace: Seconds that a todo must be old.
        repair: Whether to remove orphans.

    Raises:
        StoreUnavailableError: A store does not answer; what was removed until then was an orphan.
    """
    report = Report()
    for page in items.pages():
        # Its users are asked for after the page was read: a user is there before any todo of theirs.
        report.checked += len(page)
        homeless = _without_user(page, users)
        limit = instant(now() - timedelta(seconds=grace))
        old = [todo for todo in homeless if todo.get("created_at", "") <= limit]
        report.young += len(homeless) - len(old)
        if repair:
            for todo in _without_user(old, users):
                # An absent one was removed by somebody else meanwhile: no orphan any more.
                if items.delete_of(todo["id"], todo.get("user_id", "")):
                    _count(report, todo)
                    report.repaired += 1
        else:
            for todo in old:
                _count(report, todo)
    return report


def _count(report: Report, todo: Todo) -> None:
    report.orphans += 1
    if len(report.examples) < _SHOWN:
        report.examples.append(todo["id"])


def _without_user(todos: list[Todo], users: Users) -> list[Todo]:
    known = {user for todo in todos if (user := identity(todo.get("user_id", "")))}
    there = users.existing(known, Deadline.after(_QUESTION_SECONDS)) if known else frozenset()
    return [todo for todo in todos if todo.get("user_id") not in there]


@cache
def prepared() -> tuple[TodoSettings, System, Logger]:
    """Return what runs of this process share."""
    settings = TodoSettings()
    logger = Logger(service="todos-checker", level=settings.log_level.upper(), utc=True)
    logs.through(logger)
    return settings, System.of(settings), logger


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run once, as a schedule asks: `{"repair": false}` only looks.

    Raises:
        StoreUnavailableError: A store does not answer, so that the invocation counts as failed.
    """
    settings, system, logger = prepared()
    if context is not None:
        logger.structure_logs(append=True, request_id=context.aws_request_id, function=context.function_name)
    repair = event.get("repair", True) is True
    report = check(system.users, system.items, system.now, settings.orphan_grace_seconds, repair=repair)
    logger.info("todos_checked", extra=asdict(report))
    return asdict(report)


def main(arguments: list[str] | None = None) -> int:
    """Run once from a terminal; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m functions.todos.checker", description=__doc__)
    parser.add_argument("--repair", action="store_true", help="remove the orphans")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        settings = TodoSettings()
    except ValidationError as error:
        sys.stderr.write(complaint(error))
        return 3
    system = System.of(settings)
    try:
        report = check(
            system.users,
            system.items,
            lambda: datetime.now(UTC),
            settings.orphan_grace_seconds,
            repair=options.repair,
        )
    except StoreUnavailableError as error:
        sys.stderr.write(f"{error} ({error.reason}); nothing can be said: check it and run again\n")
        return 2
    finally:
        system.pool.close()
    if options.json:
        sys.stdout.write(json.dumps({**asdict(report), "consistent": report.consistent}) + "\n")
    else:
        sys.stdout.write(
            f"{report.checked} todos, {report.orphans} without a user, {report.repaired} of them removed,"
            f" {report.young} too young to judge\n"
        )
    return 0 if report.consistent else 1


if __name__ == "__main__":
    sys.exit(main())
