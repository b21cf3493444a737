"""``cdef``: all that a module declares, as the C text that cffi's ``cdef`` takes."""

from __future__ import annotations

from epsilon import _backend
from epsilon.layout import Layout, Member, place
from epsilon.structs import Struct, StructType
from epsilon.typesystem import (
    SYSTEM_TYPEDEFS,
    Array,
    Converted,
    CType,
    Direction,
    FunctionPointer,
    FunctionType,
    Pointer,
    StructCType,
    TypeObject,
)

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import Any


def cdef(module: ModuleType | dict[str, Any]) -> str:
    """The C declarations of everything in ``module`` (or its namespace): typedefs of the system's that cffi does not
    know, enums, structs in the order of their use, functions, and callbacks as ``extern "Python"`` prototypes.

    >>> import epsilon
    >>> libc = epsilon.lib_open("libc")
    >>> print(cdef({"strlen": libc.bind("size_t strlen(const char *s)")}))
    size_t strlen(const char *s);
    """
    namespace = module if isinstance(module, dict) else vars(module)
    objects = list({id(value): (name, value) for name, value in namespace.items()}.values())
    structs = [value.ctype for _, value in objects if isinstance(value, StructType) and value is not Struct]
    functions = [value for _, value in objects if isinstance(value, _backend.Function)]
    callbacks = [(name, value) for name, value in objects if isinstance(value, _backend.Callback) and value.signature]
    used: dict[CType, None] = {}
    for found in [*structs, *(value.ctype for _, value in objects if isinstance(value, TypeObject))]:
        _use(found, used)
    for signature in [*(f.signature for f in functions), *(c.signature for _, c in callbacks)]:
        for found in (signature.result, *signature.parameters):
            _use(found, used)
    lines = [f"typedef {_plain(found)} {found.name};" for found in used if found in SYSTEM_TYPEDEFS.values()]
    lines += {found.tag: found.definition() for found in used if isinstance(found, Converted)}.values()
    newest = {(found.kind, found.tag): found for found in [*used, *structs] if isinstance(found, StructCType)}
    lines += [_definition(found) for found in used if found in newest.values()]
    lines += list(dict.fromkeys(f"{function.declaration.prototype};" for function in functions))
    lines += [f'extern "Python" {_callback(name, value)};' for name, value in callbacks]
    return "\n".join(lines)


def _use(found: CType, used: dict[CType, None]) -> None:
    """Note ``found`` and what it needs, what is needed first."""
    if found in used:
        return
    if isinstance(found, StructCType):
        for member in found.fields or ():
            if not isinstance(member.ctype, Pointer):
                _use(member.ctype, used)
        used[found] = None
        for member in found.fields or ():
            _use(member.ctype, used)
    elif isinstance(found, Converted) and not found.is_plain:
        _use(found.base, used)
    elif isinstance(found, (Pointer, Direction, Array, FunctionPointer)):
        _use(found.target, used)
    elif isinstance(found, FunctionType):
        for part in (found.result, *found.parameters):
            _use(part, used)
    else:
        used[found] = None


def _plain(found: Any) -> str:
    return found.primitive


def _definition(found: StructCType) -> str:
    if found.fields is None or not is_plain(found):
        return f"{found.spelling};"
    return f"{found.spelling} {{ {' '.join(_members(found.fields))} }};"


def is_plain(found: StructCType) -> bool:
    """Whether its members alone give its layout; packing and alignment are nothing that cffi's C text says."""
    plain = place(found.kind, [Member(field.name, field.ctype, field.bits) for field in found.fields])
    starts = [field.offset * 8 + field.shift for field in found.fields]
    return (plain.size, plain.alignment, plain.bits) == (found.size, found.alignment, starts)


def _members(fields: tuple[Layout, ...]) -> Iterator[str]:
    for member in fields:
        bits = "" if member.bits is None else f" : {member.bits}"
        yield f"{member.ctype.declare(member.name)}{bits};"


def _callback(name: str, value: Any) -> str:
    import inspect

    names = [parameter for parameter in inspect.signature(value.callable).parameters] if _inspectable(value) else []
    return value.signature.prototype(name, [known if known.isidentifier() else None for known in names])


def _inspectable(value: Any) -> bool:
    return hasattr(value.callable, "__code__")
