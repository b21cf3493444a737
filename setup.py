"""What pyproject.toml cannot say: how the C shim is built where it can be, and the Hy sources compiled."""

import os
import py_compile
import runpy
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

prerequisites = runpy.run_path(str(Path(__file__).parent / "epsilon" / "prerequisites.py"))

# CI and `make lint` set EPSILON_WERROR: a warning is an error then, and so is a shim that cannot be built. Everyone
# else gets an install that works without it.
STRICT = os.environ.get("EPSILON_WERROR") == "1"


def shim() -> Extension:
    """The extension module ``epsilon._shim``, of every C file in ``c/``."""
    compile_flags, link_flags = prerequisites["libffi_flags"]()
    warnings = ["-Wall", "-Wextra", *(["-Werror"] if STRICT else [])]
    # Calls into Python go through the GOT, bound at load time: 3 % of a quick call, and a read-only GOT.
    speed = ["-O2", *(["-fno-plt"] if sys.platform == "linux" else [])]
    link_flags = [*link_flags, *(["-Wl,-z,now"] if sys.platform == "linux" else [])]
    return Extension(
        "epsilon._shim",
        sources=sorted(glob("c/*.c")),
        depends=sorted(glob("c/*.h")),
        extra_compile_args=["-std=gnu11", *speed, "-fvisibility=hidden", *warnings, *compile_flags],
        extra_link_args=link_flags,
        optional=not STRICT,
    )


class BuildShim(build_ext):
    """Build the shim, or say what keeps it from being built and go on."""

    def run(self) -> None:
        """Build as setuptools does, but remove an old shim in the source tree first.

        An editable install puts the shim there. When the new one cannot be built, the old one, of other C sources
        perhaps, must not be taken for it.
        """
        if self.inplace or self.editable_mode:
            for extension in self.extensions:
                Path(self.get_ext_filename(extension.name)).unlink(missing_ok=True)
        super().run()

    def build_extension(self, extension: Extension) -> None:
        """Build the shim; a failure is explained, then left to ``optional`` to forgive or not."""
        try:
            super().build_extension(extension)
        except Exception:
            missing = prerequisites["missing_needs"]("shim")
            notice = ["", "The C shim was not built. Epsilon works without it, through cffi, but more slowly."]
            if missing:
                notice += [prerequisites["missing_text"](missing), "and install Epsilon again."]
            print("\n".join(notice), file=sys.stderr)
            raise


class BuildHy(build_py):
    """Put compiled Hy beside the Hy sources, as pip does for Python: an installed package may not be writable."""

    def run(self) -> None:
        """Copy the package as setuptools does, then compile its ``.hy`` files, of which each must compile."""
        super().run()
        if not self.editable_mode:
            self.compile_hy()

    def compile_hy(self) -> None:
        """Compile every ``.hy`` file of the build.

        The files may require one another's macros, so the built package must be importable meanwhile; what Python would
        cache of these imports has no place in the wheel. Our own pyc files are checked against a hash of their source
        (PEP 552), as wheels do not keep modification times.
        """
        import hy  # noqa: F401  (teaches py_compile to read Hy)

        root = Path(self.build_lib).resolve()
        sys.path.insert(0, str(root))
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            for _, _, folder, names in self.data_files:
                for source in sorted(Path(folder).resolve() / name for name in names if name.endswith(".hy")):
                    py_compile.compile(
                        str(source),
                        dfile=str(source.relative_to(root)),
                        doraise=True,
                        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
                    )
        finally:
            sys.dont_write_bytecode = before
            sys.path.remove(str(root))


setup(
    ext_modules=[] if os.environ.get("EPSILON_NO_SHIM") == "1" else [shim()],
    cmdclass={"build_ext": BuildShim, "build_py": BuildHy},
)
