"""Owns the Java archives of the stack: which ones, their checksums, and how they reach the cache.

`artifacts.json` lists every file with its sha256; nothing else is ever put on a class path. Files come from Maven
Central through `jgo`; `python -m stack.maven relock` writes the list anew from the roots it names.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from stack.errors import StackError

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class Jar:
    """Name one archive: Maven coordinates `group:artifact:version` and the sha256 of its bytes.

    `packaging` is what its file name ends with; other than `jar` it is a library in machine code.
    """

    coordinates: str
    sha256: str
    packaging: str = "jar"

    def path(self, cache: Path) -> Path:
        """Return where the archive stands below a cache folder, in Maven's own layout."""
        group, artifact, version = self.coordinates.split(":")
        return cache.joinpath("maven", *group.split("."), artifact, version, f"{artifact}-{version}.{self.packaging}")


def bundle(name: str) -> tuple[Jar, ...]:
    """Return the archives of one bundle (`kafka`, `flink-kafka`) in class path order."""
    data = json.loads(resources.files("stack").joinpath("artifacts.json").read_text())
    return tuple(Jar(**jar) for jar in data[name]["jars"])


def class_path(name: str, cache: Path) -> tuple[Path, ...]:
    """Return the Java files of one bundle; `fetch` has brought them."""
    return tuple(jar.path(cache) for jar in bundle(name) if jar.packaging == "jar")


def library_path(name: str, cache: Path) -> tuple[Path, ...]:
    """Return the folders of the libraries in machine code that one bundle has, for every platform of the stack."""
    return tuple(jar.path(cache).parent for jar in bundle(name) if jar.packaging != "jar")


def missing(names: tuple[str, ...], cache: Path) -> tuple[Jar, ...]:
    """Return the archives of these bundles that the cache does not hold."""
    return tuple(jar for name in names for jar in bundle(name) if not jar.path(cache).exists())


def fetch(jars: tuple[Jar, ...], cache: Path, progress: Progress) -> None:
    """Download archives into the cache, four at a time, each verified before it gets its final name.

    Raises:
        StackError: An archive cannot be had, or its bytes are not the ones listed.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        for done in [pool.submit(_fetch_one, jar, cache, progress) for jar in jars]:
            done.result()


def _fetch_one(jar: Jar, cache: Path, progress: Progress) -> None:
    target = jar.path(cache)
    # jgo writes straight to its repository path: give it a folder of its own, so that a cut download is never mistaken
    # for a whole file.
    partial = cache / "partial" / jar.coordinates.replace(":", "_")
    context = central(partial, progress_callback=progress)
    group, name, version = jar.coordinates.split(":")
    artifact = context.project(group, name).at_version(version).artifact(packaging=jar.packaging)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        downloaded = artifact.resolve()
    except (RuntimeError, OSError) as error:
        raise StackError(
            f"Cannot fetch {jar.coordinates} from Maven Central ({type(error).__name__}).",
            f"Check the network and run the command again; what is already in {cache} is kept.",
        ) from error
    found = hashlib.sha256(downloaded.read_bytes()).hexdigest()
    if found != jar.sha256:
        downloaded.unlink()
        raise StackError(
            f"{jar.coordinates} has sha256 {found}, expected {jar.sha256}.",
            "Somebody between Maven Central and this machine changed the file; do not use that connection.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    downloaded.replace(target)
    shutil.rmtree(partial)


def central(cache: Path, **options: Any) -> Any:
    """Return jgo's context of Maven Central, which keeps what it fetches below a folder; options are its resolver's."""
    # Every command imports this module, and few of them fetch.
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    return MavenContext(resolver=PythonResolver(**options), repo_cache=cache)


def _resolve(roots: list[str], natives: list[str], cache: Path, *, alone: bool) -> Iterator[Jar]:
    context = central(cache)
    for native in natives:
        group, artifact, version, packaging = native.split(":")
        path = context.project(group, artifact).at_version(version).artifact(packaging=packaging).resolve()
        yield Jar(f"{group}:{artifact}:{version}", hashlib.sha256(path.read_bytes()).hexdigest(), packaging)
    seen: set[str] = set()
    for root in roots:
        # One by one: jgo lets the parent of any root manage the versions of all of them.
        inputs, transitive = context.resolver.resolve([context.create_dependency(root)])
        for dependency in inputs if alone else [*inputs, *transitive]:
            name = f"{dependency.groupId}:{dependency.artifactId}"
            if name not in seen:
                seen.add(name)
                path = dependency.artifact.resolve()
                if path.suffix != ".jar":
                    # A library of some platform, maybe not of ours: those that are needed are named.
                    continue
                yield Jar(f"{name}:{dependency.version}", hashlib.sha256(path.read_bytes()).hexdigest())


def relock(listing: Path, cache: Path) -> None:
    """Resolve the roots of every bundle anew and rewrite the listing, each root before what it needs.

    A bundle that stands `alone` has its roots only: what those need is on the class path already. `natives` are its
    libraries in machine code, `group:artifact:version:packaging`.
    """
    data = json.loads(listing.read_text())
    for content in data.values():
        natives, alone = content.get("natives", []), content.get("alone", False)
        content["jars"] = [_entry(jar) for jar in _resolve(content["roots"], natives, cache, alone=alone)]
    listing.write_text(json.dumps(data, indent=1) + "\n")


def _entry(jar: Jar) -> dict[str, str]:
    return {name: value for name, value in asdict(jar).items() if (name, value) != ("packaging", "jar")}


@contextmanager
def silent(_name: str, _size: int) -> Iterator[Callable[[int], None]]:
    """Report no progress."""
    yield lambda _count: None


def collect(name: str, folder: Path) -> None:
    """Put the archives of one bundle side by side into a folder, as an image holds them.

    Raises:
        StackError: As `fetch`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fetch(bundle(name), folder / "cache", silent)
    for file in class_path(name, folder / "cache"):
        file.replace(folder / file.name)
    shutil.rmtree(folder / "cache")


def main(arguments: list[str]) -> int:
    """Run one of the two commands that are for developers and images; return the exit code."""
    match arguments:
        case ["relock", listing, cache]:
            relock(Path(listing), Path(cache))
        case ["collect", name, folder]:
            collect(name, Path(folder))
        case _:
            sys.stderr.write("usage: python -m stack.maven relock LISTING CACHE | collect BUNDLE FOLDER\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
