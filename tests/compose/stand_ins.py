"""Builds the stand-ins: images that behave like the public ones the compose file names, from packages alone.

Debian's packages give the base, PostgreSQL and Prometheus; Java, Kafka, Flink and the registry are the files that the
embedded stack runs, or its tests. A tag is a digest of everything that goes in, so what is there is not built
again. `python -m tests.compose.stand_ins` builds them all and tells what each took.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import docker
from docker.errors import ImageNotFound

from stack import java, maven, registry
from stack.settings import StackSettings

REPOSITORY = "headwater-test"
RECIPES = Path(__file__).with_name("images")

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
"""Whom this machine trusts, and so the base: what is built on it fetches packages as this machine does."""
_TRUST = tuple(f"ENV {name}={CERTIFICATES}" for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))

TOOLS = maven.Jar(
    "org.apache.kafka:kafka-tools:4.3.0", "b88bc6ccc520d648142515526e4042c285612ce94b032434a88e3e936e38b600"
)
"""The commands for topics and groups, which the embedded stack has no use for."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """One image: what it stands on, and where each entry of its build context beside its recipe comes from."""

    name: str
    parent: str
    content: Mapping[str, Path] = field(default_factory=dict)


def stand_ins(cache: Path) -> tuple[StandIn, ...]:
    """Describe every image but the base, each after its parent; what the cache lacks is fetched."""
    flink = Path(next(iter(find_spec("pyflink").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
    kafka = (*maven.bundle("kafka"), TOOLS)
    maven.fetch(tuple(jar for jar in kafka if not jar.path(cache).exists()), cache, maven.silent)

    def files(folder: str, jars: Iterable[maven.Jar]) -> dict[str, Path]:
        return {f"{folder}/{jar.path(cache).name}": jar.path(cache) for jar in jars}

    return (
        StandIn("java", "base", {"java": java.JAVA_HOME}),
        StandIn("postgres", "base"),
        StandIn("kafka", "java", files("libs", kafka)),
        StandIn("flink", "java", {name: flink / name for name in ("bin", "conf", "lib", "opt", "plugins")}),
        StandIn("registry", "java", {"deployments": registry.unpacked(cache)}),
        StandIn("prometheus", "base"),
    )


def _entries(image: StandIn) -> Iterator[tuple[str, Path]]:
    """Yield every file of a build context, in a fixed order."""
    sources = {path.name: path for path in (RECIPES / image.name).iterdir()} | dict(image.content)
    for name, source in sorted(sources.items()):
        inside = [path for path in source.rglob("*") if not path.is_dir()] if source.is_dir() else [source]
        yield from sorted((f"{name}/{path.relative_to(source)}".removesuffix("/."), path) for path in inside)


def _digest(image: StandIn, parent: str) -> str:
    """Return what names the image: its parent and every byte of its context."""
    told = hashlib.sha256(parent.encode())
    for name, path in _entries(image):
        told.update(f"\n{name} {path.stat().st_mode & 0o111} ".encode())
        with path.open("rb") as content:
            told.update(hashlib.file_digest(content, "sha256").digest())
    return told.hexdigest()[:12]


def _context(image: StandIn, into: BinaryIO) -> None:
    """Write the build context, with root as the owner of everything."""

    def owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o755 if entry.mode & 0o111 else 0o644
        return entry

    with tarfile.open(fileobj=into, mode="w") as archive:
        for name, path in _entries(image):
            archive.add(path.resolve(), name, filter=owned)
    into.seek(0)


def _ingredients() -> str:
    """Return what the base is made of."""
    trusted = CERTIFICATES.read_bytes() if CERTIFICATES.exists() else b""
    return f"{SUITE} {PACKAGES} {_TRUST} {hashlib.sha256(trusted).hexdigest()}"


class CannotBuildError(Exception):
    """Say why no stand-in can be built here."""


class Builder:
    """Builds images in one engine, and remembers what each took."""

    def __init__(self, client: docker.DockerClient, cache: Path) -> None:
        self._client = client
        self._images = {image.name: image for image in stand_ins(cache)}
        self._built: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of every image, parents first."""
        return ("base", *self._images)

    def image(self, name: str) -> str:
        """Return an image's full tag; it and its parents are there afterwards.

        Raises:
            CannotBuildError: The base cannot be made on this machine.
        """
        if name not in self._built:
            parent = self.image(self._images[name].parent) if name != "base" else _ingredients()
            digest = hashlib.sha256(parent.encode()).hexdigest()[:12]
            tag = f"{REPOSITORY}/{name}:{_digest(self._images[name], parent) if name != 'base' else digest}"
            self._built[name] = tag
            started = time.monotonic()
            try:
                self._client.images.get(tag)
            except ImageNotFound:
                self._make(name, tag, parent)
            self._client.images.get(tag).tag(f"{REPOSITORY}/{name}", "latest")
            self.seconds[name] = time.monotonic() - started
        return self._built[name]

    def _make(self, name: str, tag: str, parent: str) -> None:
        if name == "base":
            self._import_base(tag)
            return
        with tempfile.TemporaryFile() as context:
            _context(self._images[name], context)
            self._client.images.build(
                fileobj=context, custom_context=True, tag=tag, buildargs={"PARENT": parent}, rm=True, forcerm=True
            )

    def _import_base(self, tag: str) -> None:
        """Make a minimal Debian with Python, as the public Python images are, and import it.

        Facts: debootstrap(8).
        """
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            raise CannotBuildError("the base image needs root and debootstrap")
        with tempfile.TemporaryDirectory(prefix="headwater-base-") as scratch:
            root = Path(scratch) / "root"
            made = subprocess.run(
                ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root],
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode != 0:
                raise CannotBuildError(f"debootstrap: {(made.stderr or made.stdout).strip()[-400:]}")
            (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
            if CERTIFICATES.exists():
                shutil.copyfile(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
            left = [f"--exclude=./{each}/*" for each in ("var/cache/apt", "var/lib/apt/lists", "dev", "proc", "sys")]
            command = [
                "tar",
                "-C",
                root,
                *left,
                "--exclude=./usr/share/doc/*",
                "--exclude=./usr/share/man/*",
                "-c",
                ".",
            ]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as archive:
                repository, version = tag.rsplit(":", 1)
                changes = ['CMD ["bash"]', *_TRUST]
                self._client.api.import_image_from_stream(archive.stdout, repository, version, changes)
            if archive.returncode != 0:
                raise CannotBuildError("the base system cannot be packed")


def main() -> None:
    """Build every image in the engine that the environment names."""
    with closing(docker.from_env(timeout=600)) as client:
        builder = Builder(client, StackSettings().cache_dir)
        for name in builder.names:
            tag = builder.image(name)
            size = client.images.get(tag).attrs["Size"] // 1_000_000
            line = {"image": tag, "megabytes": size, "seconds": round(builder.seconds[name], 1)}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
