"""Owns the compiled plan: the job as Flink runs it, kept on disk, so that a submission is one request and no JVM start.

A plan is a serialised JobGraph, the very thing that Flink's own client sends to `POST /jobs` after 4 to 13 s of JVM
start and planning. It is compiled once for each set of filters and settings, under the digest of all that went into it.
Two things differ between submissions of one plan, and both are written into its bytes: the job id, and the path of the
checkpoint to start from. Their places were found by unmistakable stand-ins, each of which must occur exactly once.

Must never import PyFlink. Facts: Flink 2.2 REST API, `/jobs`; Java Object Serialization Specification, section 6.4
(a string is TC_STRING, its length in two bytes, modified UTF-8).
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from flink_jobs.cluster.checkpoints import location
from flink_jobs.delivery import Guarantee
from flink_jobs.settings import FlinkSettings
from flink_jobs.sql import Kind, Statement

STAND_IN_JOB_ID: Final = "b6d1f0a2c4e84f7e9a3b5c7d1e2f4a68"
STAND_IN_CHECKPOINT: Final = "headwater:checkpoint-to-start-from"
_TC_STRING: Final = b"\x74"
_FUNCTIONS: Final = ("HeaderParser", "HeaderValue", "TopicOf", "EachTopic")
_AVRO_FUNCTIONS: Final = ("HeaderParser", "BoundedDecoder", "SchemaLookup", "AvroHeaderParser", *_FUNCTIONS[1:])
"""Each after those that it needs."""
_VERSION: Final = 3
"""Raised when plans of an earlier form must not be used any more."""


class PlanError(RuntimeError):
    """Say that a plan cannot be made, found or used, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Hold all that a plan is compiled from.

    Attributes:
        name: The job's name in the cluster.
        configuration: Flink's options of the job.
        statements: Its SQL.
        jars: The archives that planning needs: the Kafka SQL connector, and Flink's Avro format where it is used.
        transactional: Whether it writes in transactions.
        avro: Whether values are Avro.
    """

    name: str
    configuration: Mapping[str, str]
    statements: tuple[Statement, ...]
    jars: tuple[str, ...]
    transactional: bool = False
    avro: bool = False

    @property
    def digest(self) -> str:
        """Return a name for this blueprint that changes with everything that could change the plan."""
        parts = {
            **asdict(self),
            "statements": [(each.kind.name, each.name, each.text) for each in self.statements],
            "jars": [f"{Path(jar).name} {Path(jar).stat().st_size}" for jar in self.jars],
            "functions": java_sources(avro=self.avro),
            "flink": metadata.version("apache-flink"),
            "version": _VERSION,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Return the blueprint as JSON."""
        body = asdict(self)
        body["statements"] = [{**each, "kind": each["kind"].name} for each in body["statements"]]
        return json.dumps(body)

    @classmethod
    def from_json(cls, text: str) -> "Blueprint":
        """Read what `to_json` wrote."""
        body = json.loads(text)
        statements = tuple(Statement(Kind[each["kind"]], each["name"], each["text"]) for each in body["statements"])
        return cls(**{**body, "statements": statements, "jars": tuple(body["jars"])})


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold a compiled plan.

    Attributes:
        digest: The blueprint it was compiled from.
        name: The job's name in the cluster.
        fresh: The serialised job that starts without a checkpoint.
        restoring: The same with the stand-in path of a checkpoint.
        functions_jar: The archive of the job's Java functions, which goes along with every submission.
        transactional: Whether the job writes in transactions.
    """

    digest: str
    name: str
    fresh: bytes
    restoring: bytes
    functions_jar: bytes
    transactional: bool = False

    def render(self, job_id: str, checkpoint: str | None) -> bytes:
        """Return the serialised job under an id (32 hex digits), starting from a checkpoint path or from none.

        Raises:
            PlanError: The plan does not hold its stand-ins exactly once; nothing of it may be submitted.
        """
        body = self.restoring if checkpoint else self.fresh
        body = _replace_once(body, bytes.fromhex(STAND_IN_JOB_ID), bytes.fromhex(job_id))
        if checkpoint:
            body = _replace_once(body, _java_string(STAND_IN_CHECKPOINT), _java_string(checkpoint))
        return body


def java_sources(*, avro: bool = False) -> dict[str, str]:
    """Return the Java source of each class of the job, by its name; one comes after those that it needs."""
    folder = resources.files("flink_jobs").joinpath("java")
    names = _AVRO_FUNCTIONS if avro else _FUNCTIONS
    return {name: folder.joinpath(f"{name}.java").read_text("utf-8") for name in names}


def blueprint(settings: FlinkSettings, parts: Sequence[Statement]) -> Blueprint:
    """Return what the job of these settings and statements is compiled from."""
    return Blueprint(
        name=settings.flink_job_name,
        configuration=_configuration(settings),
        statements=tuple(parts),
        jars=tuple(str(jar) for jar in settings.archives),
        transactional=settings.flink_delivery is Guarantee.EXACTLY_ONCE,
        avro=settings.registry is not None,
    )


def _configuration(settings: FlinkSettings) -> dict[str, str]:
    return {
        "pipeline.name": settings.flink_job_name,
        "parallelism.default": str(settings.flink_parallelism),
        "pipeline.max-parallelism": "128",
        # Rows are made anew by the parser and only read afterwards: no copy between the chained steps (+25 % rate).
        "pipeline.object-reuse": "true",
        "execution.buffer-timeout.interval": "5 ms",
        "execution.checkpointing.dir": location(settings.flink_checkpoint_dir),
        "execution.checkpointing.interval": f"{round(settings.flink_checkpoint_interval_seconds * 1000)} ms",
        "execution.checkpointing.timeout": "60 s",
        "execution.checkpointing.num-retained": "3",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # A broker that is away for a while fails checkpoints; that alone must not stop the job.
        "execution.checkpointing.tolerable-failed-checkpoints": "1000",
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "500 ms",
        "restart-strategy.exponential-delay.max-backoff": "5 s",
        "restart-strategy.exponential-delay.backoff-multiplier": "1.5",
        "restart-strategy.exponential-delay.reset-backoff-threshold": "30 s",
        "table.local-time-zone": "UTC",
        # Names of steps that do not depend on how many filters there are, so that offsets survive a change of them.
        "table.exec.uid.generation": "ALWAYS",
        # With it, the view is planned once for both inserts, so that each record is parsed once.
        "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",
        **({} if settings.registry is None else settings.registry.job_parameters()),
    }


class PlanStore:
    """Keep plans in a folder, one folder per digest; a plan is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, digest: str) -> bool:
        return (self._folder / digest / "plan.json").is_file()

    def load(self, digest: str) -> Plan:
        """Read one plan.

        Raises:
            PlanError: It is not there or cannot be read.
        """
        folder = self._folder / digest
        try:
            facts = json.loads((folder / "plan.json").read_text("utf-8"))
            fresh, restoring, jar = (
                folder.joinpath(file).read_bytes() for file in ("fresh.bin", "restoring.bin", "functions.jar")
            )
            return Plan(digest, facts["name"], fresh, restoring, jar, facts["transactional"])
        except (OSError, ValueError, KeyError) as error:
            raise PlanError(f"the plan {folder} cannot be read; delete the folder and submit again") from error

    def functions_jar(self, digest: str) -> Path:
        """Return where the archive of a plan's Java functions is."""
        return (self._folder / digest / "functions.jar").absolute()

    def save(self, plan: Plan) -> None:
        """Write one plan, then forget all but the newest five."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=".partial-", dir=self._folder))
        files = {"fresh.bin": plan.fresh, "restoring.bin": plan.restoring, "functions.jar": plan.functions_jar}
        facts = json.dumps({"name": plan.name, "transactional": plan.transactional}).encode()
        for name, body in {**files, "plan.json": facts}.items():
            (partial / name).write_bytes(body)
        shutil.rmtree(self._folder / plan.digest, ignore_errors=True)
        partial.rename(self._folder / plan.digest)
        self._prune()

    @property
    def current(self) -> str | None:
        """Return the digest of the plan that is to run, or None before the first submission."""
        try:
            return (self._folder / "current").read_text("ascii").strip()
        except OSError:
            return None

    def make_current(self, digest: str) -> None:
        """Declare which plan is to run."""
        partial = self._folder / ".current"
        partial.write_text(digest, "ascii")
        partial.replace(self._folder / "current")

    def _prune(self) -> None:
        kept = self.current
        plans = sorted(self._folder.glob("*/plan.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in plans[5:]:
            if file.parent.name != kept:
                shutil.rmtree(file.parent, ignore_errors=True)


def _java_string(text: str) -> bytes:
    # Modified UTF-8 is UTF-8 for what has neither NUL nor characters beyond 16 bits.
    if "\0" in text or any(ord(character) > 0xFFFF for character in text):
        raise PlanError(f"the path {text!r} cannot be written into a plan; move the state folder to a plainer path")
    body = text.encode()
    return _TC_STRING + len(body).to_bytes(2, "big") + body


def _replace_once(body: bytes, old: bytes, new: bytes) -> bytes:
    if (count := body.count(old)) != 1:
        raise PlanError(
            f"the plan holds a stand-in {count} times instead of once; delete the plan folder and try again"
        )
    return body.replace(old, new)
