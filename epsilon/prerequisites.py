"""What Epsilon wants of the system: how each thing is probed, its packages, and the one command that gets the missing.

The Makefile runs this file as a script with a bare Python, before Epsilon and cffi are there (``python -I
epsilon/prerequisites.py``), ``setup.py`` asks it for libffi's compiler flags and for what keeps the shim from being
built, and ``epsilon doctor`` reports it. So it imports the standard library only.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Need(NamedTuple):
    """Something the system has or lacks: what it is, what wants it, the packages that bring it, and the probe.

    The probe gives None when the thing is here and works, else the reason in a few words.
    """

    what: str
    wanted_by: str  # "shim", "examples" or "setup"
    packages: dict[str, str]  # by package manager: "apt-get", "dnf", "brew"
    probe: Callable[[], str | None]


def compiler() -> list[str]:
    """The C compiler's command as setuptools takes it: ``$CC``, else what Python was built with, else ``cc``."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def output_of(command: Sequence[str]) -> str:
    """What *command* prints on stdout, stripped; empty when it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def libffi_flags() -> tuple[list[str], list[str]]:
    """libffi's flags for the compiler and for the linker: pkg-config's, else the platform's default."""
    pkg_config = os.environ.get("PKG_CONFIG", "pkg-config")
    libraries = shlex.split(output_of([pkg_config, "--libs", "libffi"]))
    if libraries:
        return shlex.split(output_of([pkg_config, "--cflags", "libffi"])), libraries
    if sys.platform == "darwin":
        # Apple keeps libffi's headers in the SDK, one folder below the one that the compiler searches.
        return [f"-I{output_of(['xcrun', '--show-sdk-path'])}/usr/include/ffi"], ["-lffi"]
    return [], ["-lffi"]


def compile_error(text: str, before: Sequence[str] = (), after: Sequence[str] = ()) -> str | None:
    """Compile and link the C program *text*; None when that works, else the compiler's first complaint.

    *before* and *after* are the flags to either side of the source file: a library must follow what uses it.
    """
    with tempfile.TemporaryDirectory(prefix="epsilon-doctor-") as folder:
        source = os.path.join(folder, "probe.c")
        with open(source, "w", encoding="ascii") as file:
            file.write(text)
        command = [*compiler(), *before, source, *after, "-o", os.path.join(folder, "probe")]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError:
            return f"no compiler {command[0]!r}"
    if done.returncode == 0:
        return None
    complaints = [line.replace(source, "probe.c") for line in done.stderr.splitlines() if "error" in line]
    return complaints[0] if complaints else f"{command[0]} ended with status {done.returncode}"


def probe_compiler() -> str | None:
    """A C compiler that finds the C library's headers and links."""
    return compile_error("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")


def probe_python_headers() -> str | None:
    """``Python.h`` of the running Python."""
    folders = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    return compile_error(
        "#include <Python.h>\nint main(void) { return 0; }\n", [f"-I{folder}" for folder in sorted(folders)]
    )


def probe_libffi() -> str | None:
    """``ffi.h``, and a libffi to link with."""
    call = "ffi_cif cif; return ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 0, &ffi_type_void, 0);"
    return compile_error(f"#include <ffi.h>\nint main(void) {{ {call} }}\n", *libffi_flags())


def library_error(*names: str) -> str | None:
    """Load the first of the libraries *names* that is there; None when one loads, else why none did."""
    try:
        import ctypes.util
    except ImportError:
        return "this Python has no ctypes to look with"
    found = [name for name in map(ctypes.util.find_library, names) if name]
    # Versioned names serve where find_library, which asks ldconfig and the compiler, has neither to ask.
    versioned = [f"lib{name}.so.{number}" for name in names for number in (3, 1.1, 1, 0)] if os.name == "posix" else []
    for name in [*found, *versioned]:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return None
    return f"no {' or '.join(names)} library that loads"


def probe_openssl() -> str | None:
    """OpenSSL's libssl, at run time."""
    return library_error("ssl")


def probe_sqlite() -> str | None:
    """SQLite's library, at run time."""
    return library_error("sqlite3")


def probe_sndfile() -> str | None:
    """libsndfile, at run time."""
    return library_error("sndfile")


def header_error(header: str, *before: str) -> str | None:
    """Compile a text that includes *header*; None when that works, else why not."""
    return compile_error(f"#include <{header}>\nint main(void) {{ return 0; }}\n", before)


def probe_openssl_headers() -> str | None:
    """OpenSSL's headers, which examples/header_openssl.hy imports."""
    return library_error("crypto") or header_error("openssl/evp.h")


def probe_sqlite_header() -> str | None:
    """SQLite's header, which examples/header_sqlite.hy imports."""
    return header_error("sqlite3.h")


def probe_curl() -> str | None:
    """libcurl and its header, which examples/header_curl.hy imports."""
    return library_error("curl") or header_error("curl/curl.h")


def probe_venv() -> str | None:
    """The standard library's ``venv`` with pip to put into it, which Debian packages apart."""
    importlib.invalidate_caches()
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    return f"no module {missing[0]}" if missing else None


def python_package(suffix: str) -> dict[str, str]:
    """The packages of the distribution's own Python that end in *suffix*; of another Python, none."""
    if sys.base_prefix != "/usr":
        return {}
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"apt-get": f"python{version}-{suffix}", "dnf": f"python3-{'devel' if suffix == 'dev' else 'libs'}"}


def needs() -> list[Need]:
    """Everything that Epsilon, its examples and its set-up want of the system."""
    sndfile = {"apt-get": "libsndfile1", "dnf": "libsndfile", "brew": "libsndfile"}
    openssl = {"apt-get": "libssl-dev", "dnf": "openssl-devel", "brew": "openssl"}
    sqlite = {"apt-get": "libsqlite3-dev", "dnf": "sqlite-devel", "brew": "sqlite"}
    curl = {"apt-get": "libcurl4-openssl-dev", "dnf": "libcurl-devel", "brew": "curl"}
    return [
        Need("C compiler", "shim", {"apt-get": "build-essential", "dnf": "gcc", "brew": "gcc"}, probe_compiler),
        Need("Python headers", "shim", python_package("dev"), probe_python_headers),
        Need("libffi", "shim", {"apt-get": "libffi-dev", "dnf": "libffi-devel", "brew": "libffi"}, probe_libffi),
        Need("OpenSSL", "examples", {"apt-get": "libssl-dev", "dnf": "openssl-libs", "brew": "openssl"}, probe_openssl),
        Need("SQLite", "examples", {"apt-get": "libsqlite3-0", "dnf": "sqlite-libs", "brew": "sqlite"}, probe_sqlite),
        Need("libsndfile", "examples", sndfile, probe_sndfile),
        Need("OpenSSL's headers", "examples", openssl, probe_openssl_headers),
        Need("SQLite's header", "examples", sqlite, probe_sqlite_header),
        Need("libcurl", "examples", curl, probe_curl),
        Need("Python venv", "setup", python_package("venv"), probe_venv),
    ]


def missing_needs(*wanted_by: str) -> list[tuple[Need, str]]:
    """What is not here, each with the reason; only what *wanted_by* want, when given."""
    found = [(need, need.probe()) for need in needs() if not wanted_by or need.wanted_by in wanted_by]
    return [(need, reason) for need, reason in found if reason]


def install_command(missing: Sequence[tuple[Need, str]]) -> str | None:
    """The one shell command that installs *missing*, or None where no package manager we know has any of it."""
    manager = next((name for name in ("apt-get", "dnf", "brew") if shutil.which(name)), None)
    packages = [need.packages[manager] for need, _ in missing if manager in need.packages]
    if not packages:
        return None
    sudo = "" if manager == "brew" or os.geteuid() == 0 else "sudo "
    update = f"{sudo}apt-get update && " if manager == "apt-get" else ""
    return f"{update}{sudo}{manager} install {'' if manager == 'brew' else '-y '}{' '.join(packages)}"


def missing_text(missing: Sequence[tuple[Need, str]]) -> str:
    """What is missing, one line each, and the command that gets it."""
    lines = [f"  {need.what} (for the {need.wanted_by}): {reason}" for need, reason in missing]
    command = install_command(missing)
    lines.append(f"Get what is missing with\n  {command}" if command else "Install these with your system's own means.")
    return "\n".join(lines)


def install_system() -> int:
    """Install missing system packages with apt when this is root, else name them; for the Makefile, before all else.

    What cannot be had is no failure: Epsilon works without the shim. Only a Python that is too old is.
    """
    if sys.hexversion < 0x030A0000:
        print(
            f"Epsilon needs Python 3.10 or newer, and {sys.executable} is {platform.python_version()}: make PYTHON=..."
        )
        return 1
    missing = missing_needs()
    command = install_command(missing)
    if command and command.startswith("apt-get") and os.geteuid() == 0:
        print(f"{command}  # {', '.join(need.what for need, _ in missing)}", flush=True)
        # Another apt may hold the lock for a while (a fresh cloud machine's first update, say); a question would hang;
        # and what is installed already, a probe that failed for another reason notwithstanding, is not ours to upgrade.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        patient = command.replace("apt-get ", "apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Get::Upgrade=false ")
        subprocess.run(patient, shell=True, env=environment, stdout=subprocess.DEVNULL)
        missing = missing_needs()
    if missing:
        print(f"Missing on this system; going on without:\n{missing_text(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(install_system())
