"""Owns `headwater package`: its options and what it prints. The work is in `stack.packaging`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from stack.functions_catalogue import CATALOGUE, find
from stack.packaging import Package, build
from stack.terminal import AsJson, console

app = typer.Typer(add_completion=False)


@app.command()
def package(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help=f"all, or of {', '.join(CATALOGUE)}.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="The folder for the zip files.")] = Path("dist/lambda"),
    with_boto3: Annotated[
        bool, typer.Option("--with-boto3", help="Pack boto3 too; the runtime has one, of another version.")
    ] = False,
    certificates: Annotated[
        Path | None, typer.Option("--certificates", help="Authorities of the database, packed as rds-ca.pem.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build zip files for AWS Lambda, the same bytes from the same source."""
    wanted = list(CATALOGUE) if names == ["all"] else list(dict.fromkeys(names))
    built = []
    # All names first: a wrong one should not cost the work for the others.
    for function in [find(name) for name in wanted]:
        console.print(f"packing {function.name} …")
        built.append(build(function, out, with_boto3=with_boto3, certificates=certificates))
    if as_json:
        typer.echo(json.dumps({"packages": [_as_dict(one) for one in built]}))
    else:
        typer.echo("\n\n".join(map(_in_words, built)))


def _as_dict(built: Package) -> dict[str, Any]:
    function = built.function
    return {
        "name": function.name,
        "file": str(built.file),
        "size": built.size,
        "unpacked": built.unpacked,
        "sha256": built.sha256,
        "handler": function.handler,
        "runtime": f"python{function.python}",
        "architecture": function.architecture,
        "memory_mb": function.memory_mb,
        "timeout_seconds": function.timeout_seconds,
        "environment": {"required": list(function.required), "optional": list(function.optional)},
    }


def _in_words(built: Package) -> str:
    function = built.function
    return "\n".join(
        (
            f"{built.file}  {built.size:,} bytes, {built.unpacked:,} unpacked",
            f"  sha256    {built.sha256}",
            f"  handler   {function.handler}",
            f"  runtime   python{function.python}, {function.architecture}",
            f"  size      {function.memory_mb} MB, {function.timeout_seconds} s",
            f"  required  {', '.join(function.required) or 'nothing'}",
            f"  optional  {', '.join(function.optional) or 'nothing'}",
        )
    )
