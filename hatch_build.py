"""Compile the modules that carry nearly every change, where there is a C compiler. Without one the plain code serves.

Hatchling runs this when a wheel is made and when the project is installed from its folder, as `uv sync` does.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

MODULES = ("cdc.formats._flat", "cdc.pgoutput._decoder")


class CompiledModules(BuildHookInterface[Any]):
    """Put the compiled modules beside their sources, or into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are collected."""
        if self.target_name != "wheel":
            return
        scratch = Path(tempfile.mkdtemp(prefix="headwater-build-"))
        try:
            built = compiled(Path(self.root), scratch)
        except Exception as error:  # noqa: BLE001  # of compilers that fail there are many kinds
            shutil.rmtree(scratch)
            self.app.display_warning(f"Not compiled, the plain Python code serves: {error}")
            return
        build_data.update(pure_python=False, infer_tag=True)
        for name, file in built.items():
            place = Path(*name.split(".")[:-1], file.name)
            if version == "editable":
                shutil.copyfile(file, Path(self.root, place))
            else:
                build_data["force_include"][str(file)] = str(place)
        if version == "editable":
            shutil.rmtree(scratch)


def compiled(root: Path, scratch: Path) -> dict[str, Path]:
    """Return the compiled file of each module, made in `scratch`."""
    sources = {name: root.joinpath(*name.split(".")).with_suffix(".pyx") for name in MODULES}
    extensions = [Extension(name, [str(source)], extra_compile_args=["-O3"]) for name, source in sources.items()]
    distribution = Distribution({"name": "headwater"})
    command = build_ext(distribution)
    command.extensions = cythonize(extensions, build_dir=str(scratch / "c"), quiet=True, force=True)
    distribution.ext_modules = command.extensions
    command.build_lib, command.build_temp = str(scratch / "lib"), str(scratch / "temp")
    command.ensure_finalized()
    command.run()
    return {name: Path(command.get_ext_fullpath(name)) for name in MODULES}
