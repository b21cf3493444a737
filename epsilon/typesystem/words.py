"""The names: the words of the vocabulary, C's own typedefs, and those of <sys/types.h>."""

from __future__ import annotations

import sys

from epsilon.typesystem.base import CType
from epsilon.typesystem.converted import Object
from epsilon.typesystem.pointers import VOID_POINTER_TYPE, Buffer, String
from epsilon.typesystem.scalars import (
    ARM,
    MACHINE,
    Boolean,
    Character,
    Complex,
    Integer,
    Real,
    Void,
    WideCharacter,
)

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    pass

VOID = Void()


def _integers() -> dict[str, CType]:
    words: dict[str, CType] = {}
    for name in ("char", "signed char", "unsigned char"):
        words[name.replace(" ", "-")] = Character(name, name)
    for name in ("short", "int", "long", "long long"):
        words[name.replace(" ", "-")] = Integer(name, name)
        words["unsigned-" + name.replace(" ", "-")] = Integer("unsigned " + name, "unsigned " + name)
    for bits in (8, 16, 32, 64):
        for name in (f"int{bits}", f"uint{bits}"):
            words[name] = Integer(f"{name}_t", f"{name}_t")
    for name in ("size", "ssize", "ptrdiff", "intptr", "uintptr"):
        words[name] = Integer(f"{name}_t", f"{name}_t")
    words["wchar"] = WideCharacter("wchar_t", "wchar_t")
    return words


#: the words of the vocabulary: word → type
WORDS: dict[str, CType] = {
    "void": VOID,
    **_integers(),
    "float": Real("float", "float"),
    "double": Real("double", "double"),
    "long-double": Real("long double", "long double"),
    "float-complex": Complex("float _Complex", "_cffi_float_complex_t"),
    "double-complex": Complex("double _Complex", "_cffi_double_complex_t"),
    "bool": Boolean("_Bool", "_Bool"),
    "string": String(),
    "pointer": VOID_POINTER_TYPE,
    "buffer": Buffer(),
    "object": Object(),
}

#: C spellings that are not words: the names that the declarator knows besides C's own keywords
TYPEDEFS: dict[str, CType] = {
    f"{word}_t": WORDS[word]
    for word in WORDS
    if word.startswith(("int", "uint"))
    and word[-1].isdigit()
    or word in ("size", "ssize", "ptrdiff", "intptr", "uintptr", "wchar")
}
TYPEDEFS["bool"] = WORDS["bool"]

# POSIX <sys/types.h>: 's' and 'u' with the size in bits.  A test compiles a C program that holds them against C's own.
_POSIX_LINUX_64 = """
    dev_t=u64 ino_t=u64 mode_t=u32 nlink_t=u64 uid_t=u32 gid_t=u32 id_t=u32 off_t=s64 pid_t=s32 time_t=s64 clock_t=s64
    socklen_t=u32 suseconds_t=s64 useconds_t=u32 blksize_t=s64 blkcnt_t=s64 fsblkcnt_t=u64 fsfilcnt_t=u64 key_t=s32
    clockid_t=s32 rlim_t=u64 sa_family_t=u16 in_port_t=u16 in_addr_t=u32 nfds_t=u64 wint_t=u32
"""
_POSIX_DARWIN = """
    dev_t=s32 ino_t=u64 mode_t=u16 nlink_t=u16 uid_t=u32 gid_t=u32 id_t=u32 off_t=s64 pid_t=s32 time_t=s64 clock_t=u64
    socklen_t=u32 suseconds_t=s32 useconds_t=u32 blksize_t=s32 blkcnt_t=s64 fsblkcnt_t=u32 fsfilcnt_t=u32 key_t=s32
    clockid_t=u32 rlim_t=u64 sa_family_t=u8 in_port_t=u16 in_addr_t=u32 nfds_t=u32 wint_t=s32
"""


def _posix() -> dict[str, CType]:
    if sys.platform.startswith("linux") and sys.maxsize > 2**32:
        table = _POSIX_LINUX_64
        if ARM or "riscv" in MACHINE:
            table = table.replace("nlink_t=u64", "nlink_t=u32").replace("blksize_t=s64", "blksize_t=s32")
    elif sys.platform == "darwin":
        table = _POSIX_DARWIN
    else:
        return {}
    names = {}
    for entry in table.split():
        name, _, kind = entry.partition("=")
        names[name] = Integer(name, ("int" if kind[0] == "s" else "uint") + kind[1:] + "_t")
    return names


#: names of <sys/types.h>, which plain cffi does not know: ``epsilon.cdef`` writes a typedef for each it meets
SYSTEM_TYPEDEFS = _posix()
TYPEDEFS.update(SYSTEM_TYPEDEFS)
