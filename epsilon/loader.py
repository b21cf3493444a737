"""The platform's loader: open a file, tell which file it took, and put its complaints into plain words.

``dlopen`` and ``LoadLibraryExW`` are called through cffi rather than by ``_cffi_backend.load_library(path)``, for three
reasons: that one cannot take a path that is not UTF-8; it keeps the handle to itself, and the handle is what tells the
loaded file's path (``dlinfo``); and its object closes the library when it is collected, at the interpreter's end too,
while pointers into the library may still be alive and threads still inside it.  A library given to
``load_library`` *by handle* is closed by ``close_lib()`` alone.
"""

from __future__ import annotations

import os
import sys

import _cffi_backend

__all__ = ["explain", "load", "loaded_path", "process_files"]

_ffi = _cffi_backend.FFI()

if sys.platform == "win32":
    # No directory but the application's, System32 and those of os.add_dll_directory: in particular neither the
    # current one nor PATH (learn.microsoft.com, "Dynamic-link library search order").
    _SEARCH_DEFAULT_DIRS, _SEARCH_DLL_LOAD_DIR = 0x1000, 0x100
    _ERROR_MOD_NOT_FOUND = 126
    _kernel32 = _cffi_backend.load_library("kernel32.dll", 0x800)  # LOAD_LIBRARY_SEARCH_SYSTEM32
    _load_library = _kernel32.load_function(
        _ffi.typeof("void *(__stdcall *)(wchar_t *, void *, unsigned long)"), "LoadLibraryExW"
    )
    _module_handle = _kernel32.load_function(_ffi.typeof("void *(__stdcall *)(wchar_t *)"), "GetModuleHandleW")
    _module_file_name = _kernel32.load_function(
        _ffi.typeof("unsigned long (__stdcall *)(void *, wchar_t *, unsigned long)"), "GetModuleFileNameW"
    )

    def load(target: str | None, flags: int = 0):
        """Open the file ``target`` (``None``: the program itself) and return its handle; ``OSError`` if it will not."""
        if target is None:
            return _module_handle(_ffi.NULL)
        is_path = os.path.basename(target) != target
        if not flags:
            flags = _SEARCH_DEFAULT_DIRS | (_SEARCH_DLL_LOAD_DIR if is_path else 0)
        handle = _load_library(os.path.abspath(target) if is_path else target, _ffi.NULL, flags)
        if not handle:
            code, message = _ffi.getwinerror()
            if code == _ERROR_MOD_NOT_FOUND and is_path and os.path.exists(target):
                message = "a missing dependency (Windows does not say which)"
            raise OSError(f"{message} (error {code})")
        return handle

    def loaded_path(handle, target: str) -> str:
        """The file behind ``handle``, as Windows knows it."""
        buffer = _ffi.new("wchar_t[32768]")  # the longest path that Windows has
        return _ffi.string(buffer) if _module_file_name(handle, buffer, 32768) else target

else:
    _process = _cffi_backend.load_library(None)
    _dlopen = _process.load_function(_ffi.typeof("void *(*)(char *, int)"), "dlopen")
    _dlerror = _process.load_function(_ffi.typeof("char *(*)(void)"), "dlerror")
    try:
        _dlinfo = _process.load_function(_ffi.typeof("int (*)(void *, int, void *)"), "dlinfo")
    except AttributeError:  # macOS has none
        _dlinfo = None
    _RTLD_DI_LINKMAP = 2  # <dlfcn.h> of glibc, musl and FreeBSD

    def load(target: str | None, flags: int = 0):
        """Open the file ``target`` (``None``: the program itself) and return its handle; ``OSError`` if it will not.

        Undefined functions are looked up now, so that a library that lacks one is refused here and does not end the
        process at a later call (dlopen(3), ``RTLD_NOW``); ``RTLD_LAZY`` in ``flags`` asks for the other.
        """
        if not flags & (os.RTLD_NOW | os.RTLD_LAZY):
            flags |= os.RTLD_NOW
        handle = _dlopen(_ffi.NULL if target is None else os.fsencode(target), flags)
        if not handle:
            complaint = _dlerror()  # per thread, in glibc, musl and macOS alike
            raise OSError(os.fsdecode(_ffi.string(complaint)) if complaint else "the loader gave no reason")
        return handle

    def loaded_path(handle, target: str) -> str:
        """The file behind ``handle``, as the loader knows it: ``l_name`` of its link map (dlinfo(3)), made absolute."""
        name = target
        if _dlinfo is not None:
            found = _ffi.new("char ***")
            # struct link_map begins with the load address and the name (<link.h>).
            if _dlinfo(handle, _RTLD_DI_LINKMAP, found) == 0 and found[0][1]:
                name = os.fsdecode(_ffi.string(found[0][1])) or target
        return name if os.path.isabs(name) else os.path.realpath(name)


def process_files() -> list[str]:
    """The program and the libraries in this process, where the system tells (proc(5)); else nothing."""
    try:
        with open("/proc/self/maps", "rb") as file:
            lines = [line.split(maxsplit=5) for line in file]
    except OSError:
        return []
    # The second field is the permissions, of code and not of data; the sixth the file, if there is one.
    files = {line[5].strip() for line in lines if len(line) == 6 and b"x" in line[1]}
    return sorted(os.fsdecode(file) for file in files if file.startswith(b"/"))


# How musl begins its complaints; glibc begins with the file's name.
_MUSL = "Error loading shared library "


def explain(target: str, complaint: str) -> str:
    """Why ``target`` could not be loaded: what is wrong with the file itself, or else what the loader says of it.

    The loader alone is a poor witness: for a library of another architecture glibc says "No such file or directory",
    and for a missing dependency it names the dependency and not that it is one.
    """
    from . import elf  # only a failure needs it

    # Both glibc and musl name the file that they stumbled over, which need not be the one that was asked for.
    subject, _, reason = complaint.removeprefix(_MUSL).partition(": ")
    if os.path.basename(target) != target:
        fault = elf.fault(target)
    elif subject == target:
        return "absent"
    else:
        fault = elf.fault(subject) if os.path.basename(subject) == target else None
        fault = f"{subject} is {fault}" if fault else None
    if fault is not None:
        return fault
    if " " in subject or not reason:
        return complaint
    if os.path.basename(subject) == os.path.basename(target):
        return reason
    if not os.path.exists(subject):
        return f"a missing dependency: {subject}"
    fault = elf.fault(subject)
    return f"its dependency {subject} is {fault}" if fault else f"its dependency {subject}: {reason}"
