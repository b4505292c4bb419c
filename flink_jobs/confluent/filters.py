"""Owns the deployment of a filter file to Confluent Cloud: the states in the file around the calls of `deployment`.

Must never talk to a local cluster. Facts: FL-34 to FL-36, FL-72, FL-74 and FL-114 of the contract.
"""

from flink_jobs.confluent.deployment import Deployed, Deployer
from flink_jobs.dialects import Call, Inserts, ValueFormat, calls
from flink_jobs.filters import Filter, FilterSet
from flink_jobs.lifecycle.deployment import StatementIds, conduct, refuse_unapproved
from flink_jobs.lifecycle.file import Backup, FilterFile
from flink_jobs.settings import SqlSettings


def deploy(
    file: FilterFile,
    settings: SqlSettings,
    deployer: Deployer,
    value_format: ValueFormat,
    *,
    by: str,
    force: bool,
) -> tuple[Deployed, Backup]:
    """Bring the filters of a file into the environment, an insert for each topic.

    Args:
        file: The filter file.
        settings: The topics.
        deployer: The way into the environment.
        value_format: The form of values; the schema of JSON is registered first.
        by: Who does it, for approvals that are forced.
        force: Approve what nobody has approved.

    Raises:
        FilterError: The file is wrong; nothing was done.
        DialectError: It cannot be written for Confluent Cloud; nothing was done.
        UnapprovedError: Filters want an approval; nothing was done.
        FileError: The file cannot be written.
        DeploymentError: A call failed; earlier ones hold, and the file says `failed`.
    """
    before = file.read()
    if not force:
        refuse_unapproved(before, _unknown)
    file.check_writable()
    # First, that they can be written at all.
    _calls(before, settings, value_format)
    done: list[Deployed] = []

    def act(opened: FilterSet) -> StatementIds:
        made = _calls(opened, settings, value_format)
        result = deployer.run(made, settings.cdc_topic, registers=value_format is ValueFormat.JSON)
        done.append(result)
        return {each.id: (result.inserts[_insert_of(each, settings)],) for each in opened.filters if each.runs_on_flink}

    saved, _newly = conduct(file, before, _unknown, act, lambda _: None, by=by, force=force)
    return done[0], saved


def _unknown(_filter_id: str) -> Filter | None:
    """Know no filter as it runs there: the service holds SQL, and an approval says by itself whether it is void."""
    return None


def _calls(filters: FilterSet, settings: SqlSettings, value_format: ValueFormat) -> tuple[Call, ...]:
    return calls(filters, settings.places, value_format, Inserts.SINGLE)


def _insert_of(one: Filter, settings: SqlSettings) -> str:
    """Return the name of the statement that feeds the topic of a filter."""
    return calls(FilterSet(version=1, filters=(one,)), settings.places, inserts=Inserts.SINGLE)[-1].name
