"""Python inside of a C program: what a library with exported callbacks has in it, through cffi's embedding.

cffi starts Python under a lock when the first callback is called, or takes the one that the process has, and runs the
code that it was given here.  That imports the user's file, and tells the addresses of its callbacks, which are
Epsilon's own: C calls them with all conversions that they have in Python.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from collections.abc import Sequence

from epsilon import compiler
from epsilon.errors import CompilerError

#: what gives the address of callback ``index``, or NULL if Python cannot be had or its file not be imported
ENTRY = "void *epsilon_entry(int index)"

_CODE = """
from {module} import ffi
from epsilon.exported import addresses
found = addresses({file!r}, {wanted!r})

@ffi.def_extern()
def epsilon_entry(index):
    return ffi.cast("void *", found[index])
"""

#: Python is started as the one that wrote the library: a virtual environment is found by the program's name.  What is
#: printed is not lost when the C program ends, which knows nothing of Python's buffers.
_START = """
void {start}(int handlers)
{{
    const char *program = {program};
    PyConfig config;
    PyStatus status;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    config.install_signal_handlers = handlers;
    status = PyConfig_SetBytesString(&config, &config.program_name, program);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    PyRun_SimpleString("import sys\\nif sys.stdout: sys.stdout.reconfigure(line_buffering=True)");
}}
"""


def object_file(file: str, wanted: Sequence[tuple[str, str]], what: str) -> str:
    """The object file that starts Python for the callbacks of ``file``: C names and signatures; ``CompilerError``
    where this Python cannot be embedded."""
    import cffi

    from epsilon import cache

    folder, _ = python_library(what)
    include = sysconfig.get_path("include")
    header = os.path.join(include, "Python.h")
    if not os.path.isfile(header):
        raise CompilerError(f"{what}: exported callbacks need Python's own headers, and there is no {header}: install "
                            "python3-dev, or whatever your system calls it")  # fmt: skip
    module = f"_epsilon_{cache.key('embedding', file, repr(wanted), folder)[:16]}"
    ffi = cffi.FFI()
    ffi.embedding_api("")
    ffi.cdef(f'extern "Python+C" {ENTRY};')
    ffi.embedding_init_code(_CODE.format(module=module, file=file, wanted=list(wanted)))
    start = f"{module}_start"
    starts = _START.format(start=start, program=compiler.literal(os.fsencode(sys.executable)))
    ffi.set_source(module, starts, compiler_verbose=0)
    with tempfile.TemporaryDirectory(prefix="epsilon-embedding-") as place:
        path = os.path.join(place, "embedding.c")
        ffi.emit_c_code(path)
        with open(path, encoding="utf-8") as emitted:
            text = emitted.read()
    # cffi's text starts Python by Py_InitializeEx, under its lock; the function above stands in for that.
    options = ["-fvisibility=hidden", f"-DPy_InitializeEx={start}", "-I", include]
    platform = sysconfig.get_path("platinclude")
    return compiler.build(text, what=what, options=[*options, "-I", platform], kind="object", depends=[header])


def python_library(what: str) -> tuple[str, str]:
    """The directory and the file name of Python's own shared library."""
    folder, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and folder and name:
        for place in (folder, os.path.join(folder, sysconfig.get_config_var("MULTIARCH") or "")):
            if os.path.isfile(os.path.join(place, name)):
                return place, name
    raise CompilerError(f"{what}: exported callbacks need Python's shared library, and {sys.executable} was built "
                        "without one, or it is not installed (libpython3-dev, python3-devel; ./configure "
                        "--enable-shared); natives need no Python")  # fmt: skip
