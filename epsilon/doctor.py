"""What ``epsilon doctor`` says: what is installed, whether calls and callbacks really work, what the system lacks."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shlex
import struct
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import epsilon
from epsilon import _backend, cache, compiler, entries
from epsilon.prerequisites import Need, install_command, missing_needs, needs

Missing = list[tuple[Need, str]]

DISTRIBUTION = "epsilon-ffi"
# What a child runs to try a strategy: it names the strategy that it really uses, then puts it to the test.
TRIAL = "from epsilon import doctor; print(doctor.strategy_here(), flush=True); doctor.trial()"
# The same for the pages that callbacks jump to.
PAGES = "from epsilon import doctor; print(doctor.callback_pages())"


def version_fits(version: str, specifiers: str) -> bool:
    """Whether *version* fits comma-separated *specifiers* of the kinds ``>=`` and ``<``.

    >>> version_fits("1.3.1", ">=1.3,<2"), version_fits("2.0", ">=1.3,<2")
    (True, False)
    """

    def numbers(text: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", text)]

    for specifier in filter(None, specifiers.split(",")):
        at_least = specifier.startswith(">=")
        if (numbers(version) >= numbers(specifier)) is not at_least:
            return False
    return True


def dependencies() -> list[tuple[str, str, str | None]]:
    """Each run-time dependency: its name, the version that is here, and what is wrong with it, if anything."""
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        requirements = ["cffi", "filelock", "hy", "platformdirs", "pycparser"]  # a source tree that was never installed
    rows: list[tuple[str, str, str | None]] = []
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        name, specifiers = re.fullmatch(r"([\w.-]+)\s*([^;]*)", requirement.partition(";")[0].strip()).groups()
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, "missing", f"pip install '{name}{specifiers}'"))
            continue
        wrong = None if version_fits(version, specifiers) else f"pip install '{name}{specifiers}'"
        rows.append((name, version, wrong))
    return rows


def rebuild_command() -> str:
    """The command that installs Epsilon anew from where it came from, building the shim.

    The installer wrote down where that was (PEP 610): a checkout, perhaps an editable one, or nothing for an index.
    """
    pip = f"{shlex.quote(sys.executable)} -m pip install --force-reinstall --no-deps --no-cache-dir"
    try:
        text = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        text = None
    origin = json.loads(text) if text else {}
    if "dir_info" in origin:
        folder = shlex.quote(unquote(urlsplit(origin["url"]).path))
        return f"{pip} {'-e ' if origin['dir_info'].get('editable') else ''}{folder}"
    return f"{pip} --no-binary {DISTRIBUTION} {DISTRIBUTION}"


def trial() -> str:
    """Call ``strlen``, and sort with ``qsort`` and a Python comparator; a report of both, or an exception.

    >>> trial()
    'strlen and a qsort callback work'
    """
    libc = epsilon.lib_open("libc")
    strlen = libc.bind("strlen", "size", ["string"])
    if strlen("epsilon") != 7:
        raise RuntimeError(f'strlen("epsilon") gave {strlen("epsilon")}, not 7')
    given = [5, -3, 8, 0, 2, -7]
    qsort = libc.bind("qsort", "void", ["pointer", "size", "size", "pointer"])
    with epsilon.make_callback(lambda a, b: a - b, "int", [("in", "int"), ("in", "int")]) as compare:
        with epsilon.foreign_memory("int", count=len(given), initial=given) as numbers:
            qsort(numbers, len(given), struct.calcsize("i"), compare)
            sorted_by_c = [numbers[index] for index in range(len(given))]
    if sorted_by_c != sorted(given):
        raise RuntimeError(f"qsort made {sorted_by_c} of {given}")
    return "strlen and a qsort callback work"


def strategy_here() -> str:
    """The strategy that this process takes for a simple function; and for a simple callback, where it is another."""
    used = epsilon.lib_open("libc").bind("strlen", "size", ["string"]).strategy
    back = epsilon.make_callback(lambda a: a, "int", ["int"]).strategy
    return used if back == used else f"{used}; {back} for callbacks"


def permissions(address: int) -> str | None:
    """What the page at *address* allows, as ``/proc/self/maps`` says it ("r-xp"); None where there is no such file.

    >>> permissions(0) is None
    True
    """
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        pages, allowed, *_ = line.split()
        first, end = (int(number, 16) for number in pages.split("-"))
        if first <= address < end:
            return allowed
    return None


def callback_pages() -> str:
    """What C jumps to when it calls a callback here: thunks or closures, and what their pages allow.

    A callback of two ints has a thunk where there are any; one of twenty needs the stack, and so always a closure.
    """
    owner = "cffi" if _backend.shim is None else "libffi"
    few, many = (epsilon.make_callback(lambda *numbers: 0, "int", ["int"] * count) for count in (2, 20))
    allowed = permissions(many.address)
    if allowed is None:
        text = f"not known here whether {owner}'s closures are in pages that are writable and executable at once"
    elif "w" in allowed and "x" in allowed:
        text = f"{owner}'s closures are in pages that are WRITABLE AND EXECUTABLE at once ({allowed})"
    else:
        text = f"{owner}'s closures are in pages that are never writable and executable at once ({allowed})"
    if few.signature.trampoline.strategy == "libffi" or not getattr(_backend.shim, "has_thunks", False):
        return text
    return f"thunks, whose pages are never writable, where arguments are in registers; else {text}"


def run_here(code: str, strategy: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in a child process with that EPSILON_STRATEGY; what it compiles is gone afterwards."""
    code = f"import sys; sys.path[:] = {sys.path!r}; {code}"
    environment = {**os.environ, "EPSILON_STRATEGY": strategy}
    with tempfile.TemporaryDirectory(prefix="epsilon-doctor-") as folder:
        if strategy == "compiled":
            environment["EPSILON_CACHE"] = os.path.join(folder, "cache")
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def try_strategy(name: str) -> tuple[str, str]:
    """Run the trial in a child process with ``EPSILON_STRATEGY`` *name*: the strategy really used, and what went wrong.

    In a child, because a wrong call may end the process that makes it. An empty *name* takes the default; what went
    wrong is empty when nothing did.
    """
    child = run_here(TRIAL, name)
    used = child.stdout.strip()
    if child.returncode == 0:
        return used, ""
    if child.returncode < 0:
        return used, f"the trial was killed by signal {-child.returncode}"
    return used, child.stderr.strip().splitlines()[-1]


class Report:
    """Lines to print, and the troubles among them."""

    def __init__(self) -> None:
        self.troubles: list[str] = []

    def line(self, label: str, text: str, trouble: str | None = None) -> None:
        """Print ``label  text``; *trouble*, if any, is what to do about it, and makes the exit status 1."""
        print(f"  {label:<16}{text}")
        if trouble:
            self.troubles.append(trouble)


def report_versions(report: Report) -> None:
    """Epsilon, Python, the platform, and the dependencies."""
    print(f"Epsilon {epsilon.__version__}")
    report.line("Python", f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        report.line("free threading", "this Python can do without the GIL; Epsilon relies on it and takes it back")
    system = [platform.system(), platform.release(), platform.machine(), *platform.libc_ver()]
    report.line("platform", " ".join(filter(None, system)))
    for name, version, wrong in dependencies():
        report.line(name, version, wrong)


def report_system(report: Report, missing: Missing, *, shim_loaded: bool) -> None:
    """The system's tools and libraries; what only builds the shim is not missed where there is a shim."""
    print("\nSystem")
    reasons = {need.what: reason for need, reason in missing}
    for need in needs():
        if need.what in reasons:
            unneeded = ", not needed now that it is built" if shim_loaded and need.wanted_by == "shim" else ""
            report.line(need.what, f"missing (for the {need.wanted_by}{unneeded}): {reasons[need.what]}")
        elif need.wanted_by != "setup":
            report.line(need.what, "ok")
    command = install_command(missing)
    if command:
        report.line("to get them", command)


def report_shim(report: Report, missing: Missing) -> bool:
    """The shim, loaded or why not; gives whether it is."""
    print("\nC shim")
    if _backend.shim is not None:
        version = getattr(_backend.shim, "libffi_version", None)
        report.line("epsilon._shim", f"loaded{f', built with libffi {version}' if version else ''}")
        return True
    if _backend.strategy == "cffi":
        report.line("epsilon._shim", "not loaded: EPSILON_STRATEGY=cffi asks for cffi alone")
        return False
    install = install_command([(need, reason) for need, reason in missing if need.wanted_by == "shim"])
    steps = " && ".join(filter(None, [install, rebuild_command()]))
    meanwhile = "cffi serves in its place, more slowly"
    if _backend.strategy is not None:
        meanwhile = f"EPSILON_STRATEGY={_backend.strategy} needs it, and so nothing works"
    report.line("epsilon._shim", f"missing, {meanwhile}: {_backend.why_no_shim}", steps)
    return False


def report_strategies(report: Report, *, shim_loaded: bool) -> None:
    """Each call strategy, tried by a real call and a real callback."""
    print("\nStrategies, each tried by calling strlen, and qsort with a Python comparator")
    if _backend.wrong_strategy is not None:
        remedy = "set EPSILON_STRATEGY to one of the strategies, or unset it"
        report.line("unknown", f"{_backend.wrong_strategy}; so nothing works", remedy)
    default, _ = try_strategy(os.environ.get("EPSILON_STRATEGY", ""))
    for name in _backend.STRATEGIES:
        if name != "cffi" and not shim_loaded:
            report.line(name, "not available without the shim")
            continue
        if name == "compiled" and entries.hindrance():
            report.line(name, f"not available: {entries.hindrance()}")
            continue
        used, wrong = try_strategy(name)
        if wrong:
            report.line(name, f"does not work: {wrong}", f"report to Epsilon's developers that {name} does not work")
            continue
        taken, semicolon, callbacks = used.partition(";")
        if taken != name:
            report.line(name, f"not available on this machine; {taken} takes its place")
        else:
            report.line(name, f"works{', the default here' if used == default else ''}{semicolon}{callbacks}")


def report_pages(report: Report, *, shim_loaded: bool) -> None:
    """Where C jumps to when it calls a callback: whether code there could be overwritten."""
    print("\nCallbacks, by what C jumps to")
    for name in ("", "cffi") if shim_loaded else ("cffi",):
        child = run_here(PAGES, name)
        if child.returncode == 0:
            report.line(name or "shim", child.stdout.strip())


def report_cache(report: Report) -> None:
    """Where what was compiled is kept, how much that is, and whether nobody else can write there."""
    print("\nCache of what was compiled, which may be removed at any time")
    try:
        place = cache.directory()
    except epsilon.ForeignError as error:
        report.line("place", f"NOT SAFE: {error}", "give the cache a directory of your own, in EPSILON_CACHE")
        return
    files, size = cache.size()
    report.line("place", f"{place}, safe: only this user can write there")
    if place != (os.environ.get("EPSILON_CACHE") or cache.default_directory()):
        report.line("kept", f"not beyond the end of a process: {cache.default_directory()} cannot be written")
    report.line("size", f"{size / 1e6:.1f} MB in {files} files")
    there = compiler.is_there()
    report.line("compiler", f"{shlex.join(compiler.command())}{'' if there else ', which is not there'}")


def examine() -> int:
    """Print the whole report; the exit status: 0 when all works, 1 when something that should be there is missing."""
    report = Report()
    report_versions(report)
    missing = missing_needs("shim", "examples")
    shim_loaded = report_shim(report, missing)
    report_strategies(report, shim_loaded=shim_loaded)
    report_pages(report, shim_loaded=shim_loaded)
    report_cache(report)
    report_system(report, missing, shim_loaded=shim_loaded)
    if report.troubles:
        print("\nTo put right:")
        for trouble in report.troubles:
            print(f"  {trouble}")
        return 1
    print("\nAll works.")
    return 0
