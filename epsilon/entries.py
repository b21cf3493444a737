"""Compiled entries, as they are found again: which shapes of signature have one, and in which library of the cache.

A function asks at its first call.  Where nothing was ever compiled, the answer is one ``stat`` (``_backend``).  Else
the index, which is read once, leads from the shape to the library; with ``EPSILON_STRATEGY=compiled`` a missing one is
built.
``registry.compile()`` and ``epsilon compile`` build many at once, in one library.

It stands before first calls: little is imported at the top.
"""

from __future__ import annotations

import os
from _thread import RLock

from epsilon import _backend
from epsilon.errors import CompilerError, ForeignError

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from epsilon.signatures import Signature

KIND = _backend.ENTRIES
_lock = RLock()
#: shape → the address of its entries
_loaded: dict[str, int] = {}
#: shape → (library, number in it), as the index of the cache has it; None until it was read
_index: dict[str, tuple[str, int]] | None = None
#: why nothing can be compiled here, once that is known
_hindrance: str | None = None
#: what generated C has to know of the shim; None without it
_layout: dict[str, int] | None = None
#: why a signature is not compiled
reasons: dict[Signature, str] = {}


def layout() -> dict[str, int]:
    """What generated C has to know of the shim; empty where there is none, or the platform has no compiled entries."""
    global _layout
    if _layout is None:
        _layout = (_backend.shim.layout() if _backend.shim is not None else None) or {}
    return _layout


def prepare(signature: Signature) -> None:
    """Give a signature's trampoline its compiled entries, if there are any; build them, if that is the strategy."""
    if signature in reasons or signature._trampoline is None:
        return
    build = _backend.strategy == "compiled"
    with _lock:
        shape, reason = _shape(signature)
        if reason:
            reasons[signature] = reason
            return
        try:
            place = _find(shape)
            if not place and build:
                _build([shape])
                place = _find(shape)
        except (ForeignError, OSError) as error:
            reasons[signature] = str(error)
            return
        if place and not _backend.shim.adopt(signature._trampoline, place):
            reasons[signature] = "it is more than its values"


def _shape(signature: Signature) -> tuple[str, str]:
    from epsilon.trampolines import shape_of

    if not layout():
        return "", hindrance() or ""
    return shape_of(signature, bool(layout()["EIGHTBYTES"]))


def _name() -> str:
    from epsilon import cache
    from epsilon.trampolines import made_for

    return cache.key("index", made_for(layout()))


def _find(shape: str) -> int:
    """The address of the entries of a shape, from a library that was built earlier; 0: there is none."""
    global _index
    found = _loaded.get(shape)
    if found is not None:
        return found
    if _index is None:
        _index = _read_index()
    if shape not in _index:
        return 0
    _load(_index[shape][0])
    return _loaded.get(shape, 0)


def _read_index() -> dict[str, tuple[str, int]]:
    from epsilon import cache

    data = cache.read(KIND, _name())
    found: dict[str, tuple[str, int]] = {}
    for line in (data or b"").decode("ascii").splitlines():
        library, *shapes = line.split(" ")
        found.update((shape, (library, number)) for number, shape in enumerate(shapes))
    return found


def _load(library: str) -> None:
    """Open a library of the cache, and note all that it has; nothing of one that is not whole or not this user's."""
    import _cffi_backend

    from epsilon import cache, loader
    from epsilon.trampolines import made_for

    shapes = sorted((number, shape) for shape, (name, number) in _index.items() if name == library)
    if not cache.holds("library", library):
        for _, shape in shapes:
            del _index[shape]
        return
    ffi = _cffi_backend.FFI()
    opened = _cffi_backend.load_library(loader.load(cache.entry("library", library)))

    def address(name: str) -> Any:
        return opened.load_function(ffi.typeof("void *"), name)

    said = ffi.string(ffi.cast("char *", address("epsilon_made_for")))
    if said.decode() != made_for(layout()) or not _backend.shim.lend(
        int(ffi.cast("uintptr_t", address("epsilon_begin")))
    ):
        raise CompilerError(f"{library} was made for another shim or another Python")
    for number, shape in shapes:
        _loaded[shape] = int(ffi.cast("uintptr_t", address(f"epsilon_entry_{number}")))


def hindrance() -> str | None:
    """Why no entry can be compiled here; None if it can.  The answer is found once."""
    global _hindrance
    if _hindrance is None:
        _hindrance = _look_for_hindrance() or ""
    return _hindrance or None


def _look_for_hindrance() -> str | None:
    from epsilon import compiler

    if _backend.shim is None:
        return f"it needs the shim: {_backend.why_no_shim}"
    if not layout():
        return "this platform has no compiled entries"
    if not compiler.is_there():
        return f"there is no C compiler {' '.join(compiler.command())!r}"
    return None


def _build(shapes: Sequence[str]) -> None:
    """Build the entries of these shapes in one library, and put it into the index."""
    global _index
    from epsilon import cache, compiler
    from epsilon.trampolines import source

    if hindrance():
        raise CompilerError(hindrance())
    options = ["-fvisibility=default", "-fno-plt"]
    what = f"the entries of {len(shapes)} signatures" if len(shapes) > 1 else f"the entry of {shapes[0]}"
    path = compiler.build(source(shapes, layout()), what=what, options=options)
    library = os.path.basename(path)
    with cache.lock(KIND, _name()):  # another process may have added to it meanwhile
        lines = (cache.read(KIND, _name()) or b"").decode("ascii").splitlines()
        lines = [line for line in lines if line.partition(" ")[0] != library]
        lines.append(" ".join([library, *shapes]))
        cache.write(KIND, _name(), "\n".join(lines).encode("ascii"))
    _index = _read_index()


def compile_all(signatures: Iterable[Signature]) -> dict[Signature, str]:
    """Build what is missing of the entries of these signatures, in one library; for each that has none, why.

    Raises ``CompilerError`` where nothing can be compiled, or the compiler refuses.
    """
    wanted: dict[str, None] = {}
    left: dict[Signature, str] = {}
    with _lock:
        if hindrance():
            raise CompilerError(f"signatures cannot be compiled here: {hindrance()}")
        for signature in signatures:
            shape, reason = _shape(signature)
            if reason:
                left[signature] = reason
            elif not _find(shape):
                wanted[shape] = None
        if wanted:
            _build(sorted(wanted))
        _backend.entries_there = True
        for signature in [one for one in reasons if one not in left]:
            del reasons[signature]  # it could not be built when it was wanted first
    return left
