"""Owns what functions and HTTP APIs there are: the configuration file, and how a caller may name a function.

Must never run one, and must never show a value of an environment.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import unquote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)

from stack.lambdas.faults import invalid_parameter, not_found

LATEST: Final = "$LATEST"
"""The only version that there is here; any qualifier stands for it."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_REFERENCE: Final = re.compile(
    r"(?:arn:(?:aws[a-zA-Z-]*):lambda:)?(?:[a-z]{2}(?:-[a-z]+)+-\d:)?(?:\d{12}:)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_-]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?"
)
_QUALIFIER: Final = re.compile(r"\$LATEST|[a-zA-Z0-9_-]{1,128}")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Function(_Section):
    """One function; defaults are those of AWS."""

    name: str = ""
    handler: Annotated[str, Field(pattern=r"^[\w./]+\.\w+$")]
    memory_mb: Annotated[int, Field(ge=128, le=10240)] = 128
    timeout_seconds: Annotated[float, Field(gt=0, le=900)] = 3.0
    concurrency: PositiveInt | None = None
    """Reserved concurrency: the most invocations at the same time; without it, what the service allows."""
    environment: dict[str, SecretStr] = {}
    environment_from: tuple[str, ...] = ()
    """Variables that are handed on from the service's own environment, so that no secret need stand in a file."""
    code: Path | None = None
    """The unpacked package; without it, modules come from the environment that the service itself runs in."""

    @field_validator("environment", "environment_from")
    @classmethod
    def _not_reserved(cls, names: Any) -> Any:
        reserved = [name for name in names if name.startswith(("AWS_LAMBDA_", "LAMBDA_")) or name == "_HANDLER"]
        if reserved:
            message = f"{', '.join(reserved)}: reserved for the runtime, leave it out"
            raise ValueError(message)
        return names

    @field_validator("code")
    @classmethod
    def _a_folder(cls, code: Path | None) -> Path | None:
        if code is not None and not code.is_dir():
            message = f"{code} is no folder: unpack the package there"
            raise ValueError(message)
        return code.absolute() if code else None


class Api(_Section):
    """An HTTP API whose every request goes to one function."""

    port: Annotated[int, Field(ge=1, le=65535)]
    function: str
    host: str = "127.0.0.1"
    timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 30.0
    """How long a caller waits; AWS allows no more than 30 s."""


class Configuration(_Section):
    """The service, its functions, and the HTTP APIs before them."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 9001
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] = "us-east-1"
    account: Annotated[str, Field(pattern=r"^\d{12}$")] = "000000000000"
    concurrency: Annotated[int, Field(ge=1, le=256)] = 32
    """The most instances of all functions together."""
    idle_seconds: PositiveFloat = 300
    init_seconds: PositiveFloat = 30
    """AWS gives 10 s, on a processor of the instance's own; here all that start at once share those of the machine."""
    retry_seconds: tuple[Annotated[float, Field(ge=0)], ...] = (60, 120)
    """The waits before an asynchronous invocation that failed is tried again; AWS has these two."""
    queue_limit: PositiveInt = 10_000
    grace_seconds: Annotated[float, Field(ge=0)] = 5
    """How long invocations under way may go on when the service is told to stop."""
    log_level: str = "info"
    functions: dict[str, Function] = {}
    apis: dict[str, Api] = {}

    @field_validator("functions")
    @classmethod
    def _named(cls, functions: dict[str, Function]) -> dict[str, Function]:
        for name, function in functions.items():
            if not _NAME.fullmatch(name):
                message = f"{name!r}: a function's name has up to 64 letters, digits, '-' and '_'"
                raise ValueError(message)
            missing = [each for each in function.environment_from if each not in os.environ]
            if missing:
                message = f"function {name} wants {', '.join(missing)} from the environment: set it for the service"
                raise ValueError(message)
        return {name: function.model_copy(update={"name": name}) for name, function in functions.items()}

    @model_validator(mode="after")
    def _apis_lead_somewhere(self) -> Self:
        taken = {self.port}
        for name, api in self.apis.items():
            if api.function not in self.functions:
                message = f"api {name} leads to {api.function!r}, which is no function of this file"
                raise ValueError(message)
            if api.port in taken:
                message = f"api {name} has port {api.port}, which is taken: give each another"
                raise ValueError(message)
            taken.add(api.port)
        return self

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return the configuration in a TOML file; a relative `code` starts at the file's folder.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is no TOML, or a value cannot be used.
        """
        document = tomllib.loads(file.read_text())
        functions = document.get("functions")
        for section in functions.values() if isinstance(functions, dict) else ():
            if isinstance(section, dict) and isinstance(section.get("code"), str):
                section["code"] = str(file.absolute().parent / section["code"])
        return cls.model_validate(document)

    def arn(self, name: str) -> str:
        """Return the ARN of a function."""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{name}"

    def find(self, reference: str, qualifier: str = "") -> Function:
        """Return the function that a name, a partial or a full ARN stands for, with or without a qualifier.

        Raises:
            ApiError: Not the form of a name, two qualifiers that differ, or no such function.
        """
        found = _REFERENCE.fullmatch(unquote(reference))
        if found is None or len(reference) > 256:
            raise invalid_parameter(f"FunctionName {reference!r} is neither a function's name nor its ARN")
        within = found["qualifier"] or ""
        if qualifier and not _QUALIFIER.fullmatch(qualifier):
            raise invalid_parameter(f"Qualifier {qualifier!r} is neither a version nor an alias")
        if within and qualifier and within != qualifier:
            raise invalid_parameter("The qualifier of FunctionName and Qualifier differ: give one of them")
        if found["name"] not in self.functions:
            raise not_found(self.arn(found["name"]))
        return self.functions[found["name"]]
