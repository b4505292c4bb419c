"""Owns PyFlink: turns a blueprint into a plan, or into a job where `flink run` is the client. Only this imports it.

The JVM that PyFlink starts is needed for seconds, once for each change of the filters, and its memory goes with the
process. Must never talk to the cluster. Facts: PyFlink 2.2 (`StreamTableEnvironment`, `attach_as_datastream`), Flink's
`JobGraph`; Janino's `SimpleCompiler`, which Flink carries for the code it generates.
"""

import io
import os
import shutil
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flink_jobs.plan import STAND_IN_CHECKPOINT, STAND_IN_JOB_ID, Blueprint, Plan, PlanError, PlanStore, java_sources
from flink_jobs.predicates import identifier
from flink_jobs.sql import Kind

_JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx512m"
"""A compiler run of seconds: no optimising compiler, little memory."""


def compile_plan(blueprint: Blueprint) -> Plan:
    """Compile a blueprint in a JVM of PyFlink's.

    Raises:
        PlanError: There is no Java, or Flink refuses the SQL; the message has Flink's reason.
    """
    java = os.environ.get("JAVA_HOME")
    if not (shutil.which("java", path=f"{java}/bin") if java else shutil.which("java")):
        raise PlanError("no Java to plan with: set JAVA_HOME to a Java 17 or 21 runtime")
    with TemporaryDirectory(prefix="headwater-plan-") as scratch:
        # PyFlink reads these: how its JVM is started and where it logs; and that no Python worker is wanted.
        os.environ |= {"JVM_ARGS": _JVM_OPTIONS, "FLINK_LOG_DIR": scratch, "_python_worker_execution_mode": "process"}
        from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped] # noqa: PLC0415 - likewise
        from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - importing it is what needs Java

        gateway = get_gateway()
        try:
            functions = _functions_jar(gateway, blueprint)
            jar = Path(scratch) / "functions.jar"
            jar.write_bytes(functions)
            fresh, restoring = _serialised(gateway.jvm, blueprint, [*blueprint.jars, str(jar)])
        except Py4JJavaError as error:
            raise PlanError(f"Flink refuses the job: {_root_cause(error.java_exception)}") from error
        finally:
            gateway.shutdown()
    plan = Plan(blueprint.digest, blueprint.name, fresh, restoring, functions, blueprint.transactional)
    plan.render("0" * 32, None)
    plan.render("0" * 32, "file:///checked")
    return plan


def _functions_jar(gateway: Any, blueprint: Blueprint | None = None) -> bytes:
    """Compile the job's Java classes; equal sources give equal bytes."""
    jvm = gateway.jvm
    places = [Path(jar).as_uri() for jar in (blueprint.jars if blueprint else ())]
    urls = gateway.new_array(jvm.java.net.URL, len(places))
    for number, place in enumerate(places):
        urls[number] = jvm.java.net.URI.create(place).toURL()
    # What one source needs of an earlier one, or of an archive, its compiler finds through the loader before it.
    loader = jvm.java.net.URLClassLoader(urls, jvm.java.lang.Thread.currentThread().getContextClassLoader())
    classes: dict[str, bytes] = {}
    for source in java_sources(avro=blueprint is not None and blueprint.avro).values():
        compiler = jvm.org.codehaus.janino.SimpleCompiler()
        compiler.setSourceVersion(8)
        compiler.setTargetVersion(8)
        compiler.setParentClassLoader(loader)
        compiler.cook(source)
        classes |= {str(name): bytes(body) for name, body in compiler.getBytecodes().items()}
        loader = compiler.getClassLoader()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(classes):
            archive.writestr(zipfile.ZipInfo(f"{name.replace('.', '/')}.class"), classes[name])
    return buffer.getvalue()


def execute(blueprint: Blueprint) -> str:
    """Submit the job by the client that runs this program, which is `flink run`; return its id.

    Cluster, connector and start point are the client's to choose: `-m`, `-j`, `-s`.
    """
    from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - see compile_plan

    with TemporaryDirectory(prefix="headwater-run-") as scratch:
        jar = Path(scratch) / "headwater-functions.jar"
        jar.write_bytes(_functions_jar(get_gateway(), blueprint))
        streams = _assembled(blueprint, dict(blueprint.configuration), jar)
        return str(streams.execute_async(blueprint.name).get_job_id())


def _assembled(blueprint: Blueprint, options: dict[str, str], jar: Path | None = None) -> Any:
    """Return PyFlink's environment with the whole job in it, and an archive more for it if one is given."""
    from pyflink.common import Configuration  # noqa: PLC0415 - see compile_plan
    from pyflink.datastream import StreamExecutionEnvironment  # noqa: PLC0415
    from pyflink.table import StreamTableEnvironment  # noqa: PLC0415

    configuration = Configuration()
    for key, value in options.items():
        configuration.set_string(key, value)
    streams = StreamExecutionEnvironment.get_execution_environment(configuration)
    if jar is not None:
        streams.add_jars(jar.as_uri())
    tables = StreamTableEnvironment.create(streams)
    inserts = tables.create_statement_set()
    for statement in blueprint.statements:
        match statement.kind:
            case Kind.DEFINITION:
                tables.execute_sql(statement.text)
            case Kind.VIEW:
                # As an object, not as text: text would be planned, and run, once for each insert that names it.
                tables.create_temporary_view(identifier(statement.name), tables.sql_query(statement.text))
            case Kind.INSERT:
                inserts.add_insert_sql(statement.text)
    inserts.attach_as_datastream()
    return streams


def _serialised(jvm: Any, blueprint: Blueprint, jars: list[str]) -> tuple[bytes, bytes]:
    """Return the job without and with a checkpoint to start from, as the cluster's `POST /jobs` takes it."""
    options = {**blueprint.configuration, "execution.target": "remote"}
    options["pipeline.jars"] = ";".join(Path(jar).as_uri() for jar in jars)
    streams = _assembled(blueprint, options)
    flink = jvm.org.apache.flink
    environment = streams._j_stream_execution_environment  # noqa: SLF001 - PyFlink hands the Java object out nowhere else
    graph = flink.client.deployment.executors.PipelineExecutorUtils.getStreamGraph(
        environment.getStreamGraph(False), environment.getConfiguration()
    )
    graph.setJobName(blueprint.name)
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    job = graph.getJobGraph(loader, flink.api.common.JobID.fromHexString(STAND_IN_JOB_ID))
    restore = flink.runtime.jobgraph.SavepointRestoreSettings
    # State without a step that wants it is left behind: only a removed step can leave some, and offsets are committed
    # to the group as well. The checkpoint stays ours (NO_CLAIM), so that it can serve again.
    claim = flink.core.execution.RecoveryClaimMode.NO_CLAIM
    bodies = []
    for settings in (restore.none(), restore.forPath(STAND_IN_CHECKPOINT, True, claim)):
        job.setSavepointRestoreSettings(settings)
        bodies.append(bytes(flink.util.InstantiationUtil.serializeObject(job)))
    return bodies[0], bodies[1]


def _root_cause(exception: Any) -> str:
    """Return the innermost message of a Java exception, which is the one that says what is wrong."""
    while exception.getCause() is not None:
        exception = exception.getCause()
    return str(exception.getMessage() or exception.toString())


def main() -> int:
    """Compile the blueprint on standard input into the plan folder given as the argument; tell a refusal on output."""
    try:
        plan = compile_plan(Blueprint.from_json(sys.stdin.read()))
    except PlanError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    PlanStore(Path(sys.argv[1])).save(plan)
    return 0


if __name__ == "__main__":
    sys.exit(main())
