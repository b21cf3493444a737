"""``epsilon doctor`` and the prerequisites: what they say when all is well, and when something is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import epsilon
from epsilon import _backend, cache, cli, doctor, prerequisites
from epsilon.prerequisites import Need


@pytest.fixture
def broken_compiler(monkeypatch):
    """A machine whose C compiler is not there."""
    monkeypatch.setenv("CC", "no-such-compiler")


def as_if(monkeypatch, *, manager: str | None, root: bool) -> None:
    """A machine with that package manager and no other, and this user root or not."""
    monkeypatch.setattr(prerequisites.shutil, "which", lambda name: f"/bin/{name}" if name == manager else None)
    monkeypatch.setattr(prerequisites.os, "geteuid", lambda: 0 if root else 1000)


def missing(what: str, **packages: str) -> tuple[Need, str]:
    """Something missing, with its packages by manager."""
    return Need(what, "shim", {name.replace("_", "-"): text for name, text in packages.items()}, lambda: "gone"), "gone"


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_doctor_finds_this_installation_in_order():
    done = subprocess.run([sys.executable, "-m", "epsilon", "doctor"], capture_output=True, text=True)
    assert done.returncode == (0 if _backend.shim is not None or _backend.strategy == "cffi" else 1), done.stdout
    packages = ("Python", "cffi", "filelock", "hy", "platformdirs", "pycparser")
    for word in (*packages, "epsilon._shim", "C compiler", "libffi", "OpenSSL", "SQLite"):
        assert f"  {word}" in done.stdout
    assert "the default here" in done.stdout
    assert done.stderr == ""


def test_the_doctor_says_which_pages_callbacks_are_in(capsys):
    """What it says is what /proc/self/maps says of the closures of this very process."""
    if not Path("/proc/self/maps").exists():
        assert "not known here" in doctor.callback_pages()
        return
    text = doctor.callback_pages()
    callback = epsilon.make_callback(lambda *numbers: 0, "int", ["int"] * 20)  # needs the stack: no thunk
    allowed = None
    for line in Path("/proc/self/maps").read_text(errors="replace").splitlines():
        first, end = (int(number, 16) for number in line.split()[0].split("-"))
        if first <= callback.address < end:
            allowed = line.split()[1]
    assert allowed is not None and "x" in allowed and f"({allowed})" in text
    assert ("WRITABLE AND EXECUTABLE" in text) is ("w" in allowed)
    assert ("cffi's closures" if _backend.shim is None else "libffi's closures") in text


@pytest.mark.skipif(not getattr(_backend.shim, "has_thunks", False), reason="there are no thunks here")
def test_thunks_are_in_pages_that_are_never_writable():
    callback = epsilon.make_callback(abs, "int", ["int"])
    if callback.signature.trampoline.strategy != "libffi":
        assert doctor.permissions(callback.address) == "r-xp"
        assert doctor.callback_pages().startswith("thunks, whose pages are never writable")
    else:
        assert not doctor.callback_pages().startswith("thunks")


def test_elsewhere_the_pages_are_not_known(monkeypatch):
    monkeypatch.setattr(doctor, "permissions", lambda address: None)
    assert "not known here whether" in doctor.callback_pages()


def test_the_doctor_tells_of_free_threading(monkeypatch, capsys):
    monkeypatch.setattr(doctor.sysconfig, "get_config_var", lambda name: 1 if name == "Py_GIL_DISABLED" else None)
    doctor.report_versions(doctor.Report())
    assert "free threading  this Python can do without the GIL; Epsilon relies on it" in capsys.readouterr().out


@pytest.mark.parametrize("strategy", ["compiled", "registers", "libffi"])
def test_a_forced_strategy_without_its_shim_is_told_and_no_traceback(strategy):
    """The package itself refuses; its doctor says why."""
    hidden = "import sys, runpy; sys.modules['epsilon._shim'] = None; "
    code = f"{hidden}sys.orig_argv = ['python', '/bin/epsilon', 'doctor']; sys.argv = ['epsilon', 'doctor']; "
    code += "runpy.run_module('epsilon', run_name='__main__')"
    environment = {**os.environ, "EPSILON_STRATEGY": strategy, "PYTHONPATH": str(Path(epsilon.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == "", done.stderr
    assert (
        f"missing, EPSILON_STRATEGY={strategy} needs it, and so nothing works: the C shim is not built" in done.stdout
    )
    code = hidden + "import epsilon"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert f"EPSILON_STRATEGY={strategy} needs the shim" in done.stderr


def test_an_unknown_strategy_is_told_with_those_that_are_and_no_traceback():
    """The package itself refuses; its doctor says what is allowed."""
    environment = {**os.environ, "EPSILON_STRATEGY": "fastest", "PYTHONPATH": str(Path(epsilon.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-m", "epsilon", "doctor"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == "", done.stderr
    said = "EPSILON_STRATEGY='fastest': the strategies are compiled, registers, libffi, cffi"
    assert f"{said}; so nothing works" in done.stdout and "the default here" not in done.stdout
    assert "To put right:" in done.stdout and "set EPSILON_STRATEGY to one of the strategies" in done.stdout
    done = subprocess.run([sys.executable, "-c", "import epsilon"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.endswith(f"ImportError: {said}\n")


def test_version_and_help(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"epsilon {epsilon.__version__}\n"
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "doctor" in capsys.readouterr().out


def test_an_unknown_command_is_refused_by_name(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["docter"])
    assert ended.value.code == 2
    assert "docter" in capsys.readouterr().err


# --- the report ------------------------------------------------------------------------------------------------------


def test_a_missing_shim_is_a_trouble_with_its_reason_and_its_remedy(monkeypatch, broken_compiler, capsys):
    monkeypatch.setattr(_backend, "shim", None)
    monkeypatch.setattr(_backend, "strategy", None)
    monkeypatch.setattr(_backend, "why_no_shim", "no module named _shim")
    as_if(monkeypatch, manager="apt-get", root=False)
    assert doctor.examine() == 1
    out = capsys.readouterr().out
    assert "missing, cffi serves in its place, more slowly: no module named _shim" in out
    assert "no compiler 'no-such-compiler'" in out
    remedy = out.partition("To put right:\n")[2].splitlines()[0]
    assert remedy.startswith("  sudo apt-get update && sudo apt-get install -y build-essential")
    assert " && " in remedy and "pip install --force-reinstall" in remedy


def test_a_missing_compiler_is_no_trouble_when_the_shim_is_there(monkeypatch, broken_compiler, capsys):
    if _backend.shim is None:
        pytest.skip("needs the shim")
    assert doctor.examine() == 0
    assert "not needed now that it is built" in capsys.readouterr().out


def test_the_cffi_strategy_by_choice_is_no_trouble(monkeypatch, capsys):
    monkeypatch.setattr(_backend, "shim", None)
    monkeypatch.setattr(_backend, "strategy", "cffi")
    assert doctor.examine() == 0
    assert "EPSILON_STRATEGY=cffi" in capsys.readouterr().out


def test_a_trial_that_kills_its_process_is_reported(monkeypatch):
    monkeypatch.setattr(doctor, "TRIAL", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    used, wrong = doctor.try_strategy("cffi")
    assert used == ""
    assert wrong == "the trial was killed by signal 11"


def test_a_trial_that_fails_is_reported_in_its_own_words(monkeypatch):
    monkeypatch.setattr(doctor, "TRIAL", "print('libffi', flush=True); raise RuntimeError('strlen gave 8')")
    assert doctor.try_strategy("libffi") == ("libffi", "RuntimeError: strlen gave 8")


def test_a_failed_trial_makes_the_exit_status_1(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "try_strategy", lambda name: (name, "strlen gave 8"))
    assert doctor.examine() == 1
    assert "does not work: strlen gave 8" in capsys.readouterr().out


def test_a_dependency_that_is_too_old_or_missing_is_named_with_its_command(monkeypatch):
    installed = {"cffi": "1.17.1", "hy": "1.3.1"}

    def version(name):
        if name not in installed:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    wanted = ["cffi>=2", "hy<2,>=1.3", "pycparser", 'pytest>=8; extra == "test"']
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: wanted)
    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    assert doctor.dependencies() == [
        ("cffi", "1.17.1", "pip install 'cffi>=2'"),
        ("hy", "1.3.1", None),
        ("pycparser", "missing", "pip install 'pycparser'"),
    ]


def test_the_doctor_tells_of_the_cache(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("EPSILON_CACHE", str(tmp_path / "cache"))
    cache.write("example", "one", bytes(100_000))
    doctor.report_cache(doctor.Report())
    told = capsys.readouterr().out
    assert f"{tmp_path / 'cache'}, safe" in told and "0.1 MB in 1 files" in told

    (tmp_path / "cache").chmod(0o777)
    report = doctor.Report()
    doctor.report_cache(report)
    assert "NOT SAFE" in capsys.readouterr().out and "EPSILON_CACHE" in report.troubles[0]


def test_the_doctor_tells_of_a_cache_that_cannot_be_kept(monkeypatch, capsys):
    monkeypatch.delenv("EPSILON_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    monkeypatch.setattr(cache, "default_directory", lambda: "/dev/null/epsilon")
    doctor.report_cache(doctor.Report())
    assert "not beyond the end of a process: /dev/null/epsilon cannot be written" in capsys.readouterr().out


# --- the prerequisites -----------------------------------------------------------------------------------------------


def test_the_one_command_by_package_manager(monkeypatch):
    things = [missing("libffi", apt_get="libffi-dev", brew="libffi"), missing("SQLite", apt_get="libsqlite3-0")]
    as_if(monkeypatch, manager="apt-get", root=True)
    assert prerequisites.install_command(things) == "apt-get update && apt-get install -y libffi-dev libsqlite3-0"
    as_if(monkeypatch, manager="brew", root=False)
    assert prerequisites.install_command(things) == "brew install libffi"
    as_if(monkeypatch, manager=None, root=False)
    assert prerequisites.install_command(things) is None


def test_only_root_installs_and_what_cannot_be_had_is_named(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(prerequisites, "needs", lambda: [missing("libffi", apt_get="libffi-dev")[0]])
    monkeypatch.setattr(prerequisites.subprocess, "run", lambda command, **options: ran.append(command))
    as_if(monkeypatch, manager="apt-get", root=False)
    assert prerequisites.install_system() == 0
    assert ran == []
    out = capsys.readouterr().out
    assert "libffi (for the shim): gone" in out
    assert "  sudo apt-get update && sudo apt-get install -y libffi-dev" in out

    as_if(monkeypatch, manager="apt-get", root=True)
    assert prerequisites.install_system() == 0
    assert len(ran) == 1 and ran[0].endswith("install -y libffi-dev")
    assert "going on without" in capsys.readouterr().out


def test_nothing_missing_is_silent(monkeypatch, capsys):
    monkeypatch.setattr(prerequisites, "needs", lambda: [Need("a thing", "shim", {}, lambda: None)])
    assert prerequisites.install_system() == 0
    assert capsys.readouterr().out == ""


def test_a_library_that_is_there_loads_and_one_that_is_not_is_named():
    assert prerequisites.library_error("c") is None
    assert prerequisites.library_error("no-such-thing") == "no no-such-thing library that loads"


def test_a_compile_error_is_the_compilers_own_first_complaint():
    if prerequisites.probe_compiler() is not None:
        pytest.skip("needs a C compiler")
    assert prerequisites.compile_error("int main(void) { return 0; }") is None
    assert "no_such_header.h" in prerequisites.compile_error("#include <no_such_header.h>\n")


def test_the_prerequisites_run_on_a_bare_python(tmp_path):
    """Nothing but the standard library is there when the Makefile runs the file: no site-packages, no epsilon."""
    source = Path(prerequisites.__file__)
    alone = tmp_path / source.name
    alone.write_bytes(source.read_bytes())
    code = f"import runpy; print(len(runpy.run_path({str(alone)!r})['missing_needs']()))"
    environment = {**os.environ, "PATH": ""}
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
