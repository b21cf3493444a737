"""The distribution: a wheel built from the tree holds what it must, and works where it is installed.

One wheel is built in the session, without the shim, and installed in a fresh environment once. Both ask the package
index for what the build and the package require; without a network these tests are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import epsilon

ROOT = Path(__file__).resolve().parent.parent
TAG = sys.implementation.cache_tag

pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="needs the source tree")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess:
    """Run *command* outside the source tree, in our environment without its EPSILON_… and PYTHON…, and with
    *environment*."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("EPSILON_", "PYTHON"))}
    return subprocess.run(command, cwd="/", env={**ours, **environment}, capture_output=True, text=True)


def pip(python: str | Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess:
    """Run pip; skip the test when the package index cannot be reached."""
    done = run(python, "-m", "pip", "--no-input", *arguments, **environment)
    if done.returncode != 0 and re.search("NewConnection|NameResolution|ConnectTimeout", done.stdout + done.stderr):
        pytest.skip("the package index cannot be reached")
    return done


def setup_py(source: Path, command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run one command of the ``setup.py`` in *source*, with the setuptools that is here."""
    pytest.importorskip("setuptools", minversion="77")
    code = f"import os, runpy, sys; os.chdir({str(source)!r}); sys.argv[1:] = [{command!r}]; runpy.run_path('setup.py')"
    return run(sys.executable, "-c", code, **environment)


def copy_source(folder: Path) -> Path:
    """A copy of what the package is built from, as a fresh clone has it."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("c", "epsilon"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "_shim*.so"))
    return source


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """A wheel of the tree, built in isolation as any installer builds it, without the shim."""
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_source(folder)
    done = pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", folder, source, EPSILON_NO_SHIM="1")
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """The ``python`` of a fresh environment that the wheel was installed in."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    done = pip(python, "install", wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    return python


@pytest.mark.slow
def test_the_wheel_holds_the_hy_sources_compiled_and_the_types_and_no_shim(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path.relative_to(ROOT) for path in (ROOT / "epsilon").rglob("*")]
    shipped = [path for path in files if path.suffix in (".py", ".hy", ".pyi")]
    assert {path.as_posix() for path in shipped} <= names
    assert "epsilon/py.typed" in names
    sources = [path for path in shipped if path.suffix == ".hy"]
    assert Path("epsilon/macros.hy") in sources
    assert {name for name in names if name.endswith(".pyc")} == {
        (path.parent / "__pycache__" / f"{path.stem}.{TAG}.pyc").as_posix() for path in sources
    }
    assert not [name for name in names if name.endswith(".so")]
    assert not [name for name in names if name.startswith(("tests", "c/", "benchmarks", "examples"))]


@pytest.mark.slow
def test_the_wheel_says_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        metadata = archive.read(name).decode("utf-8")
    required = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    assert sorted(line for line in required if "extra ==" not in line) == [
        "cffi>=2",
        "filelock>=3.12",
        "hy<2,>=1.3",
        "platformdirs>=3",
        "pycparser",
    ]
    assert "Name: epsilon-ffi\nVersion: 0.1.0\n" in metadata
    assert "Requires-Python: >=3.10\n" in metadata
    assert set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE)) >= {"test", "bench", "lint", "numpy"}


@pytest.mark.slow
def test_the_installed_wheel_calls_from_python_and_from_hy_without_compiling_hy(installed):
    program = "import epsilon; print(epsilon.shared_call(('strlen', 'libc'), 'size', ['string'], 'four'))"
    done = run(installed, "-c", program)
    assert (done.stdout, done.stderr) == ("4\n", "")
    program = """(require epsilon [shared-call]) (print (shared-call '("strlen" "libc") :size '(:string) "Lisp"))"""
    done = run(installed.with_name("hy"), "-c", program, HY_MESSAGE_WHEN_COMPILING="1")
    assert done.stdout == "4\n", done.stderr
    # Hy says which files it compiles: none of ours, for their compiled form came with the wheel and is up to date.
    assert "epsilon" not in done.stderr


@pytest.mark.slow
def test_the_installed_doctor_says_that_the_shim_is_missing_and_how_to_get_it(installed):
    done = run(installed.with_name("epsilon"), "doctor")
    assert done.returncode == 1, done.stderr
    assert re.search(r"cffi +works, the default here", done.stdout)
    assert re.search(r"pip install --force-reinstall .* epsilon-ffi\n", done.stdout)


@pytest.mark.slow
def test_a_hy_file_that_does_not_compile_fails_the_build(tmp_path):
    source = copy_source(tmp_path)
    (source / "epsilon" / "broken.hy").write_text("(defn unfinished [", encoding="utf-8")
    done = setup_py(source, "build_py")
    assert done.returncode != 0
    assert "broken.hy" in done.stderr and "PrematureEndOfInput" in done.stderr


@pytest.mark.slow
def test_a_shim_that_cannot_be_built_is_explained_and_forgiven_unless_ci_forbids_it(tmp_path):
    source = copy_source(tmp_path)
    done = setup_py(source, "build_ext", CC="no-such-compiler")
    assert done.returncode == 0, done.stderr
    assert "The C shim was not built. Epsilon works without it" in done.stderr
    assert "no compiler 'no-such-compiler'" in done.stderr
    strict = setup_py(source, "build_ext", CC="no-such-compiler", EPSILON_WERROR="1")
    assert strict.returncode != 0


def test_the_package_says_that_it_is_typed():
    assert (Path(epsilon.__file__).parent / "py.typed").exists()
