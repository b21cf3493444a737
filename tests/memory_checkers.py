"""``make sanitize`` and ``make valgrind``: the C shim under the tools that watch memory.

``sanitize`` builds the shim with AddressSanitizer and UBSan and runs the tests with it; ``valgrind`` builds it for
debugging and runs a short program.  Both work on a copy of the checkout in a folder of their own, which goes
afterwards.  A report is a failure.  Python itself is neither instrumented nor asked for leaks: it keeps memory until
it exits.
"""

from __future__ import annotations

import argparse
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ["epsilon", "tests", "c", "docs", "benchmarks", "examples", "pyproject.toml", "setup.py", "Makefile",
          "README.md", "NEWS.md", "LICENSE"]  # fmt: skip
COMPILER = shlex.split(os.environ.get("CC", "cc"))
#: what the sanitizers change, and so no test of the shim under them
NOT_SANITIZED = [
    *("--ignore=tests/test_leaks.py", "--deselect=tests/test_arrays.py::test_nothing_leaks"),  # resident memory
    "--deselect=tests/test_memory_promises.py::test_blocks_arenas_and_counted_results_do_not_grow",
    # its allocator warns of what it does not have
    "--deselect=tests/test_memory_promises.py::test_memory_that_there_is_not_is_an_error_and_never_null",
    "--ignore=tests/test_packaging.py",  # a shim built anew
    # AddressSanitizer has an allocator and a strlen of its own in the process, before the C library's
    "--deselect=tests/test_memory_words.hy::test_give_and_keep",
    "--deselect=tests/test_options.py::test_free_may_be_a_function",
    "--deselect=tests/test_options.py::"
    "test_free_is_that_of_the_process_where_another_allocator_is_loaded_before_the_c_library",
    "--deselect=tests/test_docstrings.py::test_docstring[epsilon.libraries.Library.address]",
    "--deselect=tests/test_libraries.py::test_the_c_library_has_many_names[None]",
    "--deselect=tests/test_readme.py::test_code_runs[hy.md]",
    "--deselect=tests/test_readme.py::test_code_runs[libraries.md]",
    "--deselect=tests/test_readme.py::test_code_runs[memory-and-structs.md]",
    "--deselect=tests/test_native.py::test_a_debugger_stops_on_lisp_lines",  # the debugger would be instrumented, too
]


def copy(folder: Path) -> None:
    """The checkout, without what was built."""
    left_behind = shutil.ignore_patterns("_shim*.so", "__pycache__", "build")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=left_behind)
        else:
            shutil.copy(source, folder / name)


def build(folder: Path, *flags: str) -> None:
    """The shim, with these flags."""
    compile_flags, link_flags = runpy.run_path(str(ROOT / "epsilon" / "prerequisites.py"))["libffi_flags"]()
    target = folder / "epsilon" / f"_shim{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = f"-I{sysconfig.get_paths()['include']}"
    command = [*COMPILER, "-shared", "-fPIC", "-std=gnu11", "-g", *flags, "-fvisibility=hidden", "-Wall", "-Wextra"]
    sources = map(str, sorted((folder / "c").glob("*.c")))
    subprocess.run([*command, include, *compile_flags, *sources, *link_flags, "-o", str(target)], check=True)


def runtime_library(name: str) -> str:
    """The path of one of the compiler's own libraries, or an error that says that it is missing."""
    asked = subprocess.run([*COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = asked.stdout.strip()
    if not Path(path).is_absolute():
        sys.exit(f"{' '.join(COMPILER)} has no {name}: install the compiler's sanitizer libraries")
    return path


def environment(folder: Path, **more: str) -> dict[str, str]:
    """That of a Python that imports the copy; each object has a block of ``malloc``'s, so that its end is seen."""
    path = os.pathsep.join([str(folder), str(folder / "tests")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONMALLOC": "malloc", "PYTHONDONTWRITEBYTECODE": "1", **more}


def sanitize(folder: Path, arguments: Sequence[str]) -> int:
    """Run the tests, or those that ``arguments`` name, with the shim under AddressSanitizer and UBSan."""
    build(folder, "-O1", "-fsanitize=address,undefined", "-fno-omit-frame-pointer")
    libraries = [runtime_library("libasan.so"), runtime_library("libubsan.so")]
    reports = folder.parent / "reports"
    reports.mkdir()
    # a file for each process, for pytest and the tests keep what is printed; a crash is left to faulthandler
    log = f"log_path={reports}/report"
    own = environment(
        folder,
        ASAN_OPTIONS=f"{log}:detect_leaks=0:detect_stack_use_after_return=0:allocator_may_return_null=1:handle_segv=0",
        UBSAN_OPTIONS=f"{log}:print_stacktrace=1",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += NOT_SANITIZED
    own["LD_PRELOAD"] = " ".join(libraries)
    status = subprocess.run([*command, *arguments], cwd=folder, env=own).returncode
    for report in sorted(reports.iterdir()):
        print(report.read_text(encoding="utf-8", errors="replace"))
        status = status or 1
    return status


def valgrind(folder: Path, arguments: Sequence[str]) -> int:
    """Run a short program under valgrind's memcheck."""
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed (apt install valgrind)")
    build(folder, "-O1")
    suppressions = folder / "tests" / "valgrind.supp"
    command = ["valgrind", "--error-exitcode=99", "--leak-check=no", f"--suppressions={suppressions}", "--quiet"]
    program = [sys.executable, str(folder / "tests" / "valgrind_run.py")]
    return subprocess.run([*command, *program, *arguments], cwd=folder, env=environment(folder)).returncode


def main() -> int:
    """The tool's own status, which is not 0 after a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=["sanitize", "valgrind"])
    tool, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="epsilon-memory-") as name:
        folder = Path(name) / "checkout"
        folder.mkdir()
        copy(folder)
        status = {"sanitize": sanitize, "valgrind": valgrind}[tool.tool](folder, arguments)
    print(f"{tool.tool}: {'no report' if status == 0 else f'ended with {status}'}")
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
