"""Where peers are built: pip installs by name, C and C++ compiled with one set of flags, results cached by content."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
# The optimisation CPython's own build gives extensions, for every peer alike.
FLAGS = ("-O3", "-DNDEBUG", "-fPIC", "-shared", "-fvisibility=default")


class Unavailable(Exception):
    """A peer cannot be measured; the text is the reason that stands in its row."""


class Workshop:
    """The build directory of one run; building the same source twice costs nothing."""

    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    @cached_property
    def target(self) -> Path:
        """The shared library of target.c."""
        return self.compile("libtarget.so", [HERE / "target.c"])

    def install(self, module: str, package: str | None = None) -> ModuleType:
        """Import `module`, installing its package with pip first where it is missing."""
        if importlib.util.find_spec(module) is None:
            print(f"installing {package or module} …", file=sys.stderr, flush=True)
            run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package or module])
            importlib.invalidate_caches()
        return importlib.import_module(module)

    def extension(self, name: str, sources: Sequence[Path], flags: Sequence[str] = ()) -> ModuleType:
        """Compile an extension module that is linked to the target library, and import it."""
        target = self.target
        include = sysconfig.get_path("include")
        path = self.compile(
            name + sysconfig.get_config_var("EXT_SUFFIX"), sources,
            [f"-I{include}", *flags, str(target), f"-Wl,-rpath,{target.parent}"],
        )
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def compile(self, name: str, sources: Sequence[Path], flags: Sequence[str] = ()) -> Path:
        """Compile and link C or C++ sources into the shared object `name`; return its path.

        The directory is named after the content of the sources and the command, so a change of either builds anew.
        """
        plus = any(source.suffix == ".cpp" for source in sources)
        compiler = os.environ.get("CXX", "g++") if plus else os.environ.get("CC", "cc")
        if shutil.which(compiler.split()[0]) is None:
            raise Unavailable(f"no compiler: {compiler} is not on PATH")
        command = [*compiler.split(), *FLAGS, *map(str, sources), *flags]
        digest = hashlib.sha256("\0".join([*command, sys.version]).encode())
        for source in sources:
            digest.update(source.read_bytes())
        path = self.directory / digest.hexdigest()[:16] / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            print(f"building {name} …", file=sys.stderr, flush=True)
            unfinished = path.with_name(f"{os.getpid()}-{name}")
            run([*command, "-o", str(unfinished)])
            unfinished.rename(path)
        return path


def run(command: Sequence[str], **options) -> str:
    """Run a command and return its output; its last telling line becomes the reason where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        reason = telling_line(done.stdout + done.stderr) or f"status {done.returncode}"
        raise Unavailable(f"{Path(command[0]).name}: {reason}")
    return done.stdout


def telling_line(text: str) -> str:
    """The line that says why: a compiler's `error:`, else its `file:line:column:`, else the last; empty if none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (r"\berror: ", r"^\S+:\d+:\d+: ", r"(?i)error"):
        found = next((line for line in lines if re.search(pattern, line)), None)
        if found:
            return found[:200]
    return lines[-1][:200] if lines else ""
