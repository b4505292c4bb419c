"""Owns `headwater filters deploy --target confluent`: its settings, and what it prints. The work is in the stage."""

import json
from contextlib import closing

import typer
from pydantic import ValidationError
from rich.markup import escape

from flink_jobs.confluent.deployment import Deployed, Deployer
from flink_jobs.confluent.filters import deploy as deployed
from flink_jobs.confluent.registry import Registry
from flink_jobs.confluent.settings import ConfluentSettings
from flink_jobs.confluent.statements import Statements
from flink_jobs.dialects import ValueFormat
from flink_jobs.lifecycle.file import FilterFile
from flink_jobs.settings import FlinkSettings
from stack.errors import StackError
from stack.filter_settings import told
from stack.terminal import page


def deploy(
    file: FilterFile,
    settings: FlinkSettings,
    value_format: ValueFormat,
    *,
    by: str,
    force: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Deploy a filter file to the environment that the variables name, and print what came of it.

    Raises:
        StackError: A variable is missing, the service refuses, or a filter wants an approval.
    """
    try:
        cloud = ConfluentSettings()
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        named = "; ".join(f"{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in faults)
        raise StackError(
            f"The settings of Confluent Cloud are wrong: {named}.", "Set the variables; docs/dialects.md lists them."
        ) from None
    with told(file.path), closing(Statements(cloud)) as statements, closing(Registry(cloud)) as registry:
        record = settings.lifecycle_dir / f"confluent-{cloud.confluent_env_id}.json"
        deployer = Deployer(statements, registry, record, timeout)
        done, saved = deployed(file, settings, deployer, value_format, by=by, force=force)
    if as_json:
        typer.echo(json.dumps({"file": str(file.path), "backup": saved.name, **done.as_dict()}))
    else:
        page().print(escape(_in_words(done)), soft_wrap=True)


def _in_words(done: Deployed) -> str:
    parts = ["the schema of the raw topic was registered"] if done.schema_registered else []
    for what, names in (("created", done.created), ("replaced", done.replaced), ("removed", done.removed)):
        parts += [f"{what}: {', '.join(names)}"] if names else []
    return "; ".join((*parts, f"{len(done.unchanged)} unchanged"))
