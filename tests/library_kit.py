"""What the tests of libraries share: real libraries, compiled here, and the questions to be asked of them."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

import epsilon
from epsilon import loader

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="file names and messages are those of Linux")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="the tests compile their own C")

SOURCE = """
#include <unistd.h>
int answer(void) { return VALUE; }
int answer_to_everything(void) { return VALUE; }
static int hidden_answer(void) { return 0; }
int counter = VALUE;
int call(int (*function)(int), int x) { return function(x) + hidden_answer(); }
int increment(int x) { return x + 1; }
const char *tell_after(void (*function)(void)) { function(); return "a text within the library"; }
/* Says that it is inside, then stays there until it is told to go. */
int stay(int tell, int wait) { char c = 'x'; return write(tell, &c, 1) == 1 && read(wait, &c, 1) == 1 ? VALUE : -1; }
"""


def compile_library(path, source=SOURCE, value=42, *flags):
    """Compile ``source`` to the shared library ``path``, with the macro ``VALUE`` set."""
    command = ["cc", "-shared", "-fPIC", f"-DVALUE={value}", "-x", "c", "-", "-x", "none", *flags, "-o", str(path)]
    subprocess.run(command, input=source, text=True, check=True)
    return path


@functools.cache
def _image(value):
    with tempfile.TemporaryDirectory() as directory:
        return compile_library(Path(directory) / "lib.so", value=value).read_bytes()


def make_library(directory, name, value=42):
    """Make a library of its own at the path ``name`` below ``directory``; its ``answer()`` is ``value``."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_image(value))
    return path


def value_of(library):
    return library.bind("int answer(void)")()


def is_loaded(path):
    return str(path) in loader.process_files()


def on_every_platform(names):
    """The arguments of ``define_library`` that say ``names`` wherever the tests run."""
    return {"linux": names, "darwin": names, "windows": names}


def failure(name):
    """What is said when the library ``name`` does not open."""
    with pytest.raises(epsilon.LibraryLoadError) as caught:
        epsilon.lib_open(name)
    return str(caught.value)


def environment(**variables):
    """The variables of a child process that is to import this same Epsilon."""
    return {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(epsilon.__file__)), **variables}


def in_child(program, path):
    """Run ``program``, which a mistake of ours could crash, in a process of its own, with ``path`` and two pipes."""
    prelude = """
        import os, sys, threading, epsilon
        from epsilon import loader
        path = sys.argv[1]
        inside, tell = os.pipe()
        wait, go = os.pipe()

        def is_loaded(path):
            return path in loader.process_files()

        def must_be_closed(function, *arguments):
            try:
                function(*arguments)
            except epsilon.ForeignError as error:
                assert "is closed" in str(error), error
            else:
                raise AssertionError("a call through a closed library went through")
        """
    command = [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(program), str(path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
