"""Flink's own parser and planner, in a process of their own: statements as JSON on standard input, answers on output.

Each script is a list of steps. `parse` hands the text to the parser alone; `run` executes a definition, or an EXPLAIN;
`compile` turns inserts into one job and compiles the Java of each of its operators. An answer is a text of Flink's, or
its refusal.
"""

import json
import os
import sys
from tempfile import TemporaryDirectory
from typing import Any

from py4j.protocol import Py4JJavaError
from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment
from pyflink.util.exceptions import TableException

Json = dict[str, Any]


def _answer(environment: Any, tables: Any, step: Json) -> str:
    match step["kind"]:
        case "parse":
            operation = tables._j_tenv.getParser().parse(step["text"]).get(0)
            return str(operation.getClass().getSimpleName())
        case "run":
            rows = tables.execute_sql(step["text"])._j_table_result.collect()
            return str(rows.next().getField(0))
        case "compile":
            return _compiled(environment, tables, step["texts"])
    raise ValueError(step["kind"])


def _compiled(environment: Any, tables: Any, inserts: list[str]) -> str:
    together = tables.create_statement_set()
    for text in inserts:
        together.add_insert_sql(text)
    together.attach_as_datastream()
    graph = environment._j_stream_execution_environment.getStreamGraph(True)
    jvm = get_gateway().jvm
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    sinks = compiled = 0
    for node in graph.getStreamNodes().toArray():
        sinks += node.getOutEdges().isEmpty()
        factory = node.getOperatorFactory()
        if factory is not None and factory.getClass().getSimpleName() == "CodeGenOperatorFactory":
            factory.getGeneratedClass().compile(loader)
            compiled += 1
    return f"{sinks} sinks, {compiled} operators"


def main() -> None:
    """Answer every step of every script; a script ends with its first refusal."""
    answers = []
    for script in json.load(sys.stdin):
        configuration = Configuration()
        configuration.set_string("table.local-time-zone", "UTC")
        environment = StreamExecutionEnvironment.get_execution_environment(configuration)
        tables = StreamTableEnvironment.create(environment)
        told = []
        for step in script:
            try:
                told.append({"answer": _answer(environment, tables, step)})
            except (Py4JJavaError, TableException) as error:
                told.append({"refusal": str(getattr(error, "java_exception", error))})
                break
        answers.append(told)
    get_gateway().shutdown()
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        os.environ |= {
            "JVM_ARGS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx768m",
            "FLINK_LOG_DIR": scratch,
            "_python_worker_execution_mode": "process",
        }
        main()
