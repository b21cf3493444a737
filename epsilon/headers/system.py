"""Which headers are the system's: the C library's, the kernel's and the compiler's own.

What they declare comes along with everything, and is meant only where one of them is asked for by name.  The names are
those of glibc, musl and Linux (``make headers_install``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

#: <NAME.h>
_PLAIN = frozenset(
    """a.out aio aliases alloca ar argp argz assert byteswap complex cpio crypt ctype dirent dlfcn elf endian envz err
    errno error execinfo fcntl features features-time64 fenv float fmtmsg fnmatch fpu_control fstab fts ftw gconv getopt
    glob gnu-versions grp gshadow iconv ieee754 ifaddrs inttypes iso646 langinfo lastlog libgen libintl limits link
    locale malloc math mcheck memory mntent monetary mqueue netdb nl_types nss obstack paths poll printf proc_service
    pthread pty pwd re_comp regex regexp resolv sched search semaphore setjmp sgtty shadow signal spawn stab stdalign
    stdarg stdatomic stdbool stdc-predef stddef stdint stdio stdio_ext stdlib stdnoreturn string strings stropts syscall
    sysexits syslog tar termio termios tgmath thread_db threads time ttyent uchar ucontext ulimit unistd utime utmp
    utmpx values wait wchar wctype wordexp""".split()
)
#: <sys/NAME.h>; other packages have theirs there, too (libcap's <sys/capability.h>)
_SYS = frozenset(
    """acct auxv bitypes cachectl cdefs debugreg dir elf epoll errno eventfd fanotify fcntl file fsuid gmon gmon_out
    inotify io ioctl ipc kd klog mman mount msg mtio param pci perm personality pidfd platform/x86 poll prctl procfs
    profil ptrace queue quota random raw reboot reg regdef resource rseq select sem sendfile shm signal signalfd
    single_threaded socket socketvar soundcard stat statfs statvfs stropts swap syscall sysinfo syslog sysmacros termios
    time timeb timerfd times timex ttychars ttydefaults types ucontext uio un unistd user utsname vfs vlimit vm86 vt
    wait xattr""".split()
)
#: what only serves other headers
_SERVING = frozenset("asm asm-generic bits gnu linux".split())
#: folders that are the system's as a whole
_FOLDERS = _SERVING | frozenset(
    """arpa drm finclude misc mtd net netash netatalk netax25 neteconet netinet netipx netiucv netpacket netrom netrose
    nfs protocols rdma rpc rpcsvc scsi sound video xen""".split()
)
_COMPILERS = re.compile(r"/(?:gcc|gcc-cross|clang|llvm[^/]*)/.*/include(?:-fixed)?$")
_INCLUDED = re.compile(r"^[ \t]*#[ \t]*include(?:_next)?[ \t]*[<\"]([^>\"\n]+)[>\"]", re.M)
#: comments, directives with their continuation lines, and what <sys/cdefs.h> puts around declarations
_NOTHING = re.compile(
    r"/\*.*?\*/|//[^\n]*|^[ \t]*#(?:[^\n\\]|\\.)*|\b__(?:BEGIN|END)_(?:DECLS\b|NAMESPACE_\w+)|\s+", re.S | re.M
)


def name_in(folders: Sequence[str], path: str) -> str | None:
    """The name by which ``#include`` finds ``path`` in ``folders``, or None.

    >>> name_in(["/usr/include"], "/usr/include/sys/stat.h")
    'sys/stat.h'
    """
    found = [folder for folder in folders if path.startswith(folder.rstrip("/") + "/")]
    return path[len(max(found, key=len).rstrip("/")) + 1 :] if found else None


def is_systems(folders: Sequence[str], path: str) -> bool:
    """Whether the header at ``path`` is the system's; ``folders`` are those where the compiler looks by itself."""
    name = name_in(folders, path)
    if name is None:
        return False
    if _COMPILERS.search(os.path.normpath(path[: -len(name)])):
        return True
    first, _, rest = name.partition("/")
    if first == "sys":
        return rest.removesuffix(".h") in _SYS
    return first in _FOLDERS if rest else first.removesuffix(".h") in _PLAIN


def serving(folders: Sequence[str], named: Iterable[str], files: Iterable[str]) -> set[str]:
    """Those among ``files``, headers of the system, that count where the ``named`` ones do: all that is out of
    ``bits/``, ``asm/`` and the like, whichever way it was reached, and where a header does nothing but include others,
    what it includes."""
    by_name: dict[str, list[str]] = {}
    for path in files:
        by_name.setdefault(name_in(folders, path) or path, []).append(path)
    waiting = list(named)
    if not waiting:
        return set()
    found = {path for name, paths in by_name.items() if name.partition("/")[0] in _SERVING for path in paths}
    waiting += found
    while waiting:
        path = waiting.pop()
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        if not _NOTHING.sub("", text):
            for name in _INCLUDED.findall(text):
                further = {*by_name.get(name, ()), *by_name.get(_beside(folders, path, name), ())} - found
                found |= further
                waiting += further
    return found


def _beside(folders: Sequence[str], path: str, name: str) -> str:
    """The name of what ``#include "name"`` in ``path`` finds."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    return name_in(folders, beside) or beside
