"""The program of a real schema registry: Apicurio Registry from Maven Central, fetched once and verified."""

import hashlib
import shutil
import tarfile
from pathlib import Path

from jgo.maven import MavenContext, PythonResolver

VERSION = "3.3.3"
SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"


def unpacked(cache: Path) -> Path:
    """Return the folder of the registry's program, fetched and verified the first time."""
    folder = cache / f"apicurio-registry-{VERSION}"
    if not folder.exists():
        partial = cache / "partial" / f"apicurio-registry-{VERSION}"
        shutil.rmtree(partial, ignore_errors=True)
        context = MavenContext(resolver=PythonResolver(), repo_cache=partial / "repository")
        component = context.project("io.apicurio", "apicurio-registry-app").at_version(VERSION)
        archive = component.artifact(classifier="all", packaging="tar.gz").resolve()
        with archive.open("rb") as content:
            assert hashlib.file_digest(content, "sha256").hexdigest() == SHA256
        with tarfile.open(archive) as content:
            content.extractall(partial / "program", filter="data")
        (partial / "program").replace(folder)
        shutil.rmtree(partial)
    return folder
