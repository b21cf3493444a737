"""Callbacks and what is larger than a call: fork, subinterpreters, free threading, the end of the interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from clib import SHIM, compile_c, run_child

SOURCE = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
typedef int (*Unary)(int);
int apply(Unary f, int x) { return f(x); }
/* C forks; the child calls f, and its answer is its exit status */
int fork_and_apply(Unary f, int x)
{
    int status;
    pid_t child = fork();
    if (!child) _exit(f(x) & 255);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
static Unary last;
static void at_end(void) { printf("C got %d at the end\\n", last(5)); fflush(stdout); }
void call_at_exit(Unary f) { last = f; atexit(at_end); }
static void *work(void *f) { for (;;) { ((Unary)f)(1); usleep(100); } return NULL; }
void call_for_ever(Unary f) { pthread_t thread; pthread_create(&thread, NULL, work, f); pthread_detach(thread); }
"""
BEGIN = """
import epsilon, os, sys, threading
from epsilon import callbacks
c = epsilon.lib_open(sys.argv[1])
apply = c.bind("apply", "int", ["pointer", "int"])

def in_child(function):
    # the exit status of a child that runs it: 0, if it gives True
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if function() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def run(code: str, **environment: str) -> str:
    return run_child(BEGIN + code, compile_c(SOURCE), **environment)


# --- fork -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["any", "same", "queue"])
def test_callbacks_work_in_the_child_of_a_fork(policy):
    run(
        f"old = epsilon.make_callback(lambda x: x + 1, 'int', ['int'], thread={policy!r})\n"
        "assert apply(old, 1) == 2\n"
        "def child():\n"
        f"    new = epsilon.make_callback(lambda x: x * 3, 'int', ['int'], thread={policy!r})\n"
        "    return apply(old, 1) == 2 and apply(new, 2) == 6 and callbacks.run_pending() == 0\n"
        "assert in_child(child) == 0\n"
        "assert apply(old, 1) == 2\n"
    )


def test_a_callback_may_fork():
    """Both processes go on inside the callback, and return through C."""
    run(
        "def fork(x):\n"
        "    child = os.fork()\n"
        "    return 100 if not child else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "me = os.getpid()\n"
        "callback = epsilon.make_callback(fork, 'int', ['int'])\n"
        "result = apply(callback, 1)\n"
        "if os.getpid() != me:\n"
        "    os._exit(result + apply(epsilon.make_callback(abs, 'int', ['int']), -7))\n"
        "assert result == 107, result\n"
    )


def test_c_may_fork_and_call_a_callback_in_the_child():
    """Of C's own fork Python is not told; one thread, which holds no lock, needs none."""
    run(
        "callback = epsilon.make_callback(lambda x: x + 1, 'int', ['int'])\n"
        "has_shim = epsilon._backend.shim is not None\n"
        "result = c.bind('fork_and_apply', 'int', ['pointer', 'int'], critical=has_shim)(callback, 41)\n"
        "assert result == 42, result\n"
    )


def test_a_call_that_waits_is_the_parent_s_alone():
    run(
        "from epsilon import dispatch\n"
        "callback = epsilon.make_callback(lambda x: x + 1, 'int', ['int'], thread='queue')\n"
        "out = []\n"
        "thread = threading.Thread(target=lambda: out.append(apply(callback, 1)))\n"
        "thread.start()\n"
        "while not dispatch._waiting: pass\n"
        "def child():\n"
        "    return callbacks.run_pending() == 0 and not dispatch._waiting and apply(callback, 1) == 2\n"
        "assert in_child(child) == 0\n"
        "assert callbacks.run_pending(None) == 1\n"
        "thread.join()\n"
        "assert out == [2]\n"
    )


def test_the_queue_works_in_the_child_of_a_fork():
    run(
        "callback = epsilon.make_callback(lambda x: x + 1, 'int', ['int'], thread='queue')\n"
        "waiting = threading.Thread(target=callbacks.run_pending, args=(None,), daemon=True)\n"
        "waiting.start()\n"
        "def child():\n"
        "    out = []\n"
        "    thread = threading.Thread(target=lambda: out.append(apply(callback, 1)))\n"
        "    thread.start()\n"
        "    count = callbacks.run_pending(None)\n"
        "    thread.join()\n"
        "    return (count, out) == (1, [2])\n"
        "for _ in range(10): assert in_child(child) == 0\n"
        "apply(callback, 1)\n"
        "thread = threading.Thread(target=apply, args=(callback, 1))\n"
        "thread.start(); thread.join(); waiting.join()\n"
    )


def test_a_thread_that_the_fork_left_behind_is_not_waited_for():
    run(
        "callbacks.patience = None\n"
        "made, go = [], threading.Event()\n"
        "def make():\n"
        "    made.append(epsilon.make_callback(abs, 'int', ['int'], thread='queue'))\n"
        "    go.wait()\n"
        "maker = threading.Thread(target=make); maker.start()\n"
        "while not made: pass\n"
        "def child():\n"
        "    try:\n"
        "        apply(made[0], 1)\n"
        "    except epsilon.ForeignError as error:\n"
        "        return 'has ended' in str(error)\n"
        "assert in_child(child) == 0\n"
        "go.set(); maker.join()\n"
    )


# --- the end of the interpreter ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not SHIM, reason="cffi's closures end with Python: docs/callbacks.md says so")
@pytest.mark.parametrize("policy", ["any", "same", "queue"])
@pytest.mark.parametrize("on_error", ["-7", "lambda error: -7"])
def test_c_calls_when_python_is_gone(policy, on_error):
    """C's atexit functions run after Python's end.  A value is still given; a callable is nobody's to call: zero."""
    out = run(
        f"callback = epsilon.make_callback(abs, 'int', ['int'], thread={policy!r}, on_error={on_error})\n"
        "c.bind('call_at_exit', 'void', ['pointer'])(callback)\n"
    )
    assert out == f"C got {-7 if on_error == '-7' else 0} at the end\n"


@pytest.mark.parametrize("policy", ["any", "same", "queue"])
def test_a_thread_of_c_s_may_call_until_the_end(policy):
    run(
        "sys.unraisablehook = lambda given: None\n"
        f"callback = epsilon.make_callback(abs, 'int', ['int'], thread={policy!r}, on_error=-7)\n"
        "c.bind('call_for_ever', 'void', ['pointer'])(callback)\n"
        "for _ in range(20): callbacks.run_pending(0.001)\n"
    )


@pytest.mark.parametrize("policy", ["same", "queue"])
def test_a_callback_that_lives_to_the_end_says_nothing(policy):
    code = f"import epsilon; kept = epsilon.make_callback(abs, 'int', ['int'], thread={policy!r}, on_error=print)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- interpreters -----------------------------------------------------------------------------------------------------

SUBINTERPRETER = """
import sys
code = "import sys; sys.path[:] = " + repr(sys.path) + '''
try:
    import epsilon
except ImportError as error:
    assert "subinterpreter" in str(error), error
    sys.stdout.write("refused\\\\n"); sys.stdout.flush()
else:
    raise AssertionError("it was imported")
'''
if len(sys.argv) > 1:
    import epsilon
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
made = interpreters.create(KIND)
failed = interpreters.run_string(made, code)
assert not failed, failed
interpreters.destroy(made)
if len(sys.argv) > 1:
    assert epsilon.lib_open("libc").bind("int abs(int n)")(-3) == 3
"""


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_a_subinterpreter_is_refused_and_the_main_one_lives_on(kind, imported):
    name = f"'{kind}'" if sys.version_info >= (3, 13) else f"isolated={kind == 'isolated'}"
    code = SUBINTERPRETER.replace("KIND", name)
    assert run_child(code, *["imported"] * imported) == "refused\n"


def test_a_free_threaded_python_without_the_shim_is_asked_for_its_gil():
    """The shim takes the GIL back by itself (Py_mod_gil); what cffi does is cffi's affair."""
    run_child(
        "import sys\n"
        "sys._is_gil_enabled = lambda: False\n"
        "try:\n"
        "    import epsilon\n"
        "except ImportError as error:\n"
        "    assert 'PYTHON_GIL=1' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('it was imported')\n",
        EPSILON_STRATEGY="cffi",
    )


def test_the_shim_says_that_it_needs_the_gil_and_one_interpreter():
    text = (Path(__file__).parent.parent / "c" / "module.c").read_text(encoding="utf-8")
    assert "{Py_mod_gil, Py_MOD_GIL_USED}" in text
    assert "{Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED}" in text


@pytest.mark.skipif(not SHIM, reason="without the shim there is nothing to import twice")
def test_the_shim_may_be_imported_again():
    run_child(
        "import sys, epsilon\n"
        "first = sys.modules.pop('epsilon._shim')\n"
        "from importlib import import_module\n"
        "again = import_module('epsilon._shim')\n"
        "assert again.Callback is first.Callback and again is not first\n"
        "assert epsilon.lib_open('libc').bind('int abs(int n)')(-3) == 3\n"
    )
