"""Which implementation of floor 0 this process uses: the C shim, or cffi's ABI mode in Python.

Both offer the same names (``Cell Converter Trampoline Function Callback Guarded …``); everything above asks this module
and nothing else.  ``EPSILON_STRATEGY`` forces a strategy for the whole process: ``compiled``, ``registers`` or
``libffi`` (shim), ``cffi`` (no shim).  Unset, each signature takes the best one it fits; ``compiled`` where it was
compiled already.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from types import ModuleType

STRATEGIES = ("compiled", "registers", "libffi", "cffi")

#: the forced strategy, or None
strategy: str | None = os.environ.get("EPSILON_STRATEGY") or None
#: the shim's module, or None
shim: ModuleType | None = None
#: the reason when ``shim`` is None
why_no_shim: str | None = None

def asked_by_doctor() -> bool:
    """Whether this is the command ``epsilon doctor``, which must live to say what is wrong."""
    command = sys.orig_argv[-2:]
    return command[1:] == ["doctor"] and os.path.basename(command[0]) == "epsilon"


#: what is wrong with EPSILON_STRATEGY, with which only the doctor goes on
wrong_strategy: str | None = None

if strategy is not None and strategy not in STRATEGIES:
    wrong_strategy = f"EPSILON_STRATEGY={strategy!r}: the strategies are {', '.join(STRATEGIES)}"
    if not asked_by_doctor():
        raise ImportError(wrong_strategy)
    strategy = None


def refuse_subinterpreter() -> None:
    """Raise ImportError unless this is the main interpreter: C may call on a thread that says nothing of
    interpreters."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # CPython 3.13, before it
        try:
            interpreters = __import__(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ImportError(
                "Epsilon does not work in a subinterpreter: C's callbacks could not tell to which interpreter they "
                "belong; import it in the main interpreter"
            )
        return


#: the folder of compiled entries in the cache, and whether this process saw it; None until it looked
ENTRIES = "entries"
entries_there: bool | None = None


def may_have_entries() -> bool:
    """Whether a function may have a compiled entry: one ``stat`` in each process, where nothing was ever compiled."""
    global entries_there
    if shim is None or strategy not in (None, "compiled"):
        return False
    if entries_there is None:
        place = os.environ.get("EPSILON_CACHE")
        if not place:  # as cache.default_directory has it on Linux; elsewhere there are no entries
            root = os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")
            place = os.path.join(root, "epsilon")
        entries_there = strategy == "compiled" or os.path.exists(os.path.join(place, ENTRIES))
    return entries_there


if strategy == "cffi":
    why_no_shim = "EPSILON_STRATEGY=cffi asks for cffi's ABI mode"
else:
    try:
        from epsilon import _shim as shim
    except ImportError as error:
        refuse_subinterpreter()
        why_no_shim = f"the C shim is not built or cannot be loaded: {error}"
        if strategy is not None and not asked_by_doctor():
            raise ImportError(f"EPSILON_STRATEGY={strategy} needs the shim: {why_no_shim}") from error

if shim is not None:
    implementation: ModuleType = shim
else:
    refuse_subinterpreter()
    from epsilon import _abi as implementation

    if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():  # the shim takes it back by itself
        raise ImportError("Epsilon without its shim needs the GIL: run this Python with PYTHON_GIL=1")

Batch = implementation.Batch
Callback = implementation.Callback
Cell = implementation.Cell
Converter = implementation.Converter
Function = implementation.Function
Guarded = implementation.Guarded
Memory = implementation.Memory
Lease = implementation.Lease
Trampoline = implementation.Trampoline
errno = implementation.errno
leave_to = implementation.leave_to
own_calls = implementation.own_calls
set_errno = implementation.set_errno
set_hooks = implementation.set_hooks

#: whether memory remembers the line that allocated it
checking = os.environ.get("EPSILON_CHECK", "0") not in ("", "0")

#: the descriptor of a struct's plain members, or None: without the shim it is fields.Field
Field = getattr(shim, "Field", None)

# What guarded memory knows of itself, as functions, for a C struct may have members of the same names.
address_of = Guarded.address.__get__
is_alive = Guarded.alive.__get__
kept_by = Guarded.kept.__get__
exports_of = Guarded.exports.__get__
leases_of = Guarded.leases.__get__
owner_of = Guarded.owner.__get__
pointer_type_of = Guarded.pointer_type.__get__
size_of = Guarded.size.__get__
is_readonly = Guarded.readonly.__get__
ended_at = Guarded.ended_at.__get__
allocated_at = Guarded.allocated_at.__get__
set_allocated_at = Guarded.allocated_at.__set__
in_flight = Guarded.inflight.__get__
end = Guarded.end
hold = Guarded.hold
release = Guarded.release
