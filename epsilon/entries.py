"""Compiled entries, as they are found again: which shapes of signature have one, and in which library of the cache.

A function asks at its first call, a signature when the first callback of it is made.  Where nothing was ever compiled,
the answer is one ``stat`` (``_backend``).  Else the index, which is read once, leads from the shape to the library;
with ``EPSILON_STRATEGY=compiled`` a missing one is built.
``registry.compile()`` and ``epsilon compile`` build many at once, in one library.

It stands before first calls: little is imported at the top.
"""

from __future__ import annotations

import os
from _thread import RLock

from epsilon import _backend
from epsilon.errors import CompilerError, ForeignError
from epsilon.typesystem import WORDS, array_of, bounded
from epsilon.typesystem.required import Required

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from epsilon.signatures import Signature
    from epsilon.typesystem import CType

#: the letter of a conversion → C's type
TYPES = {
    "b": "int8_t", "c": "int8_t", "B": "uint8_t", "C": "uint8_t", "h": "int16_t", "H": "uint16_t", "i": "int32_t",
    "I": "uint32_t", "q": "int64_t", "Q": "uint64_t", "?": "uint8_t", "f": "float", "d": "double", "z": "const char *",
    "p": "void *", "P": "void *", "y": "void *", "Y": "void *",
}  # fmt: skip
#: how the shape of a callback begins (upcalls.py), and that of a batch (batch_source.py)
CALLBACK, BATCH = "*", "+"
#: the letters of numbers, which a callback gets and gives without the shim
_PLAIN = "bcBChHiIqQ?fd"
_MOST_PARAMETERS = 64
#: the letters of a callback's words that are in float registers
FLOATS = "fdX"
KIND = _backend.ENTRIES
_lock = RLock()
#: shape → the address of its entries, once it was asked for
_loaded: dict[str, int] = {}
#: library → what it was opened as
_opened: dict[str, Any] = {}
#: shape → (library, number in it), as the index of the cache has it; None until it was read
_index: dict[str, tuple[str, int]] | None = None
#: why nothing can be compiled here, once that is known
_hindrance: str | None = None
#: what generated C has to know of the shim; None without it
_layout: dict[str, int] | None = None
#: the shapes of the batches that were planned in this process, in their order
batches: dict[str, None] = {}
#: why a signature is not compiled
reasons: dict[Signature, str] = {}
#: why its callbacks are not
callback_reasons: dict[Signature, str] = {}


def layout() -> dict[str, int]:
    """What generated C has to know of the shim; empty where there is none, or the platform has no compiled entries."""
    global _layout
    if _layout is None:
        _layout = (_backend.shim.layout() if _backend.shim is not None else None) or {}
    return _layout


def prepare(signature: Signature) -> None:
    """Give a signature's trampoline its compiled entries, if there are any; build them, if that is the strategy."""
    _prepare(signature, shape_here, "adopt", reasons)


def prepare_callbacks(signature: Signature) -> None:
    """The same for the entry of its callbacks."""
    _prepare(signature, _callback_shape, "adopt_upcall", callback_reasons)


def _prepare(
    signature: Signature, shape_in: Callable[[Signature], tuple[str, str]], adopt: str, reasons: dict[Signature, str]
) -> None:
    if signature in reasons or signature._trampoline is None:
        return
    with _lock:
        shape, reason = shape_in(signature)
        if reason:
            reasons[signature] = reason
            return
        try:
            place = address_of(shape)
        except (ForeignError, OSError) as error:
            reasons[signature] = str(error)
            return
        if place and not getattr(_backend.shim, adopt)(signature._trampoline, place):
            reasons[signature] = "it is more than its values"


def address_of(shape: str) -> int:
    """The address of the entries of a shape; 0 if there are none, and building them is not the strategy."""
    with _lock:
        place = _find(shape)
        if not place and _backend.strategy == "compiled":
            _build([shape])
            place = _find(shape)
        return place


def shape_of(signature: Signature, eightbytes: bool) -> tuple[str, str]:
    """The shape of a signature, and an empty str; or an empty str, and why it has no compiled entry.

    >>> from epsilon.signatures import Signature
    >>> shape_of(Signature("int", ["double", "string"]), True)
    ('i(d,z)', '')
    >>> shape_of(Signature("void", [("out", "int")]), True)
    ('', 'parameter 1, int *, is more than a value')
    """
    if signature.variadic:
        return "", "it is variadic"
    if signature.abi != "default":
        return "", f"its calling convention is {signature.abi}"
    if len(signature.parameters) > _MOST_PARAMETERS:
        return "", f"it has more than {_MOST_PARAMETERS} parameters"
    parameters = signature.parameters
    if any(array_of(one) is not None for one in parameters) or bounded(signature.result, parameters):
        return "", "its arrays are prepared in Python"
    letters = []
    for index, parameter in enumerate((signature.result, *signature.parameters)):
        letter, reason = _letter(parameter, index == 0, eightbytes)
        if reason:
            which = f"parameter {index}" if index else "the result"
            return "", f"{which}, {parameter.spelling}, {reason}"
        letters.append(letter)
    return f"{letters[0]}({','.join(letters[1:])})", ""


def _letter(ctype: CType, result: bool, eightbytes: bool) -> tuple[str, str]:
    code = ctype.converter.code
    if code == "s":
        if not eightbytes:
            return "", "is a struct by value, which is compiled on x86-64 only"
        classes = "M" if ctype.size > 16 else ctype.classes
        if ctype.alignment > 8 or not classes.strip("IS") == ("M" if classes == "M" else "") or not ctype.size:
            return "", "is a struct that is passed in a way of its own"
        return f"s{ctype.size}{classes}", ""
    if isinstance(ctype, Required):
        return "", "refuses NULL"
    if ctype.converter.owned:
        return "", "is the caller's to free" if result else "is C's to free"
    if code == "v" and result:
        return code, ""
    if code not in TYPES or (result and code in "yY"):
        return "", "is more than a value" if code in "<>=x" else "is a type that is not compiled"
    return code, ""


def word_for(letter: str) -> str:
    """What names of the generated C have for the letter of a conversion."""
    return "bool" if letter == "?" else letter


def callback_shape_of(signature: Signature, integers: int, floats: int) -> tuple[str, str]:
    """The shape of a signature's callbacks where C has that many registers, and an empty str; or an empty str, and why
    they have no compiled entry.

    >>> from epsilon.signatures import Signature
    >>> callback_shape_of(Signature("int", [("in", "int"), "double", "string"]), 6, 8)
    ('*i(<i,d,x)', '')
    >>> callback_shape_of(Signature("int", ["int"] * 7), 6, 8)
    ('', 'its arguments need the stack')
    """
    parameters = signature.parameters
    if signature.variadic:
        return "", "it is variadic"
    if signature.abi != "default":
        return "", f"its calling convention is {signature.abi}"
    if any(array_of(one) is not None for one in parameters) or bounded(signature.result, parameters):
        return "", "its arrays are prepared in Python"
    letters = []
    for index, parameter in enumerate((signature.result, *parameters)):
        letter = _word_letter(parameter)
        if not letter or letter in ">=":
            which = f"parameter {index}" if index else "the result"
            why = "is more than a value" if letter else "is not in one register"
            return "", f"{which}, {parameter.spelling}, {why}"
        letters.append(letter)
    result, *rest = letters
    in_floats = sum(letter in FLOATS for letter in rest)
    if in_floats > floats or len(rest) - in_floats > integers:
        return "", "its arguments need the stack"
    if result in "xX":
        result = "p" if signature.result.converter.code in "pP" else "x"
    return f"{CALLBACK}{result}({','.join(rest)})", ""


def _word_letter(ctype: CType) -> str:
    """How a callback gets a value; an empty str, if that is no word."""
    code = ctype.converter.code
    if code == "<":
        target = ctype.target.converter.code
        return f"<{target}" if target in _PLAIN else "x"
    if code in _PLAIN or code in ">=v":
        return code
    base = ctype.representation.code
    return "" if base in "sgFDv" else "X" if base in "fd" else "x"


def made_for(layout: dict[str, int]) -> str:
    """What a library says that it was made for: a version of Python and a shim, as a short word."""
    return " ".join(str(value) for value in layout.values())


def shape_here(signature: Signature) -> tuple[str, str]:
    """``shape_of`` a signature on this platform."""
    if not layout():
        return "", hindrance() or ""
    return shape_of(signature, bool(layout()["EIGHTBYTES"]))


def _callback_shape(signature: Signature) -> tuple[str, str]:
    if not layout():
        return "", hindrance() or ""
    if not layout()["THUNKS"]:
        return "", "callbacks are libffi's closures on this platform"
    return callback_shape_of(signature, layout()["INTEGER_REGISTERS"], layout()["FLOAT_REGISTERS"])


def _name() -> str:
    from epsilon import cache

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
    library, number = _index[shape]
    opened = _opened.get(library) or _open(library)
    if opened is None:
        return 0
    _loaded[shape] = _address(opened, f"epsilon_entry_{number}")
    return _loaded[shape]


def _read_index() -> dict[str, tuple[str, int]]:
    from epsilon import cache

    data = cache.read(KIND, _name())
    found: dict[str, tuple[str, int]] = {}
    for line in (data or b"").decode("ascii").splitlines():
        library, *shapes = line.split(" ")
        found.update((shape, (library, number)) for number, shape in enumerate(shapes))
    return found


def _open(library: str) -> Any:
    """Open a library of the cache; None, and nothing of it is in the index any more, if it is not whole or not this
    user's."""
    import _cffi_backend as cffi

    from epsilon import cache, loader

    path = cache.find("library", library)
    if path is None:
        for shape in [shape for shape, (name, _) in _index.items() if name == library]:
            del _index[shape]
        return None
    opened = cffi.load_library(loader.load(path))
    said = cffi.string(opened.load_function(cffi.new_pointer_type(WORDS["char"].backend), "epsilon_made_for"))
    if said.decode() != made_for(layout()) or not _backend.shim.lend(_address(opened, "epsilon_begin")):
        raise CompilerError(f"{library} was made for another shim or another Python")
    _opened[library] = opened
    return opened


def _address(opened: Any, name: str) -> int:
    import _cffi_backend as cffi

    word = WORDS["uintptr"].backend
    return int(cffi.cast(word, opened.load_function(cffi.new_pointer_type(word), name)))


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


def compile_all(
    signatures: Iterable[Signature], called_back: Iterable[Signature]
) -> tuple[dict[Signature, str], dict[Signature, str]]:
    """Build what is missing of the entries of these signatures, of those for their callbacks, and of the batches that
    were run, in one library; for each signature that has none, why.

    Raises ``CompilerError`` where nothing can be compiled, or the compiler refuses.
    """
    wanted: dict[str, None] = {}
    left: dict[Signature, str] = {}
    left_callbacks: dict[Signature, str] = {}
    with _lock:
        if hindrance():
            raise CompilerError(f"signatures cannot be compiled here: {hindrance()}")
        asked = [(signature, shape_here(signature), left) for signature in signatures]
        asked += [(signature, _callback_shape(signature), left_callbacks) for signature in called_back]
        for signature, (shape, reason), without in asked:
            if reason:
                without[signature] = reason
            elif not _find(shape):
                wanted[shape] = None
        wanted.update((shape, None) for shape in list(batches) if not _find(shape))
        if wanted:
            _build(sorted(wanted))
        _backend.entries_there = True
        for known, without in ((reasons, left), (callback_reasons, left_callbacks)):
            for signature in [one for one in known if one not in without]:
                del known[signature]  # it could not be built when it was wanted first
    return left, left_callbacks
