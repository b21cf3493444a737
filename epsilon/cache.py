"""What was built or worked out once and serves again: files in the user's cache directory, by their contents' keys.

The directory is the user's alone (0700), and nothing is read from one that another user owns or can write.  A file is
written under another name and renamed, so that it is there whole or not at all, and its end has a digest of the rest
and of its name: one that was cut short, changed or put there by something else counts as absent, and is made again.
Everything in it can be made again, so it may be removed at any time.

What is found here is on the way of quick starts: nothing is imported at the top that ``import epsilon`` has not.
"""

from __future__ import annotations

import os
import stat
import sys
from itertools import count

from epsilon.errors import ForeignError

try:
    from _blake2 import blake2b  # hashlib's own, without the 5 ms that OpenSSL takes
except ImportError:
    from hashlib import blake2b

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_MAGIC = b"\nepsilon 1\n"  #: before the digest, at the end of each file
_DIGEST = 32
_OWN = hasattr(os, "geteuid")  #: whether files have owners and modes, as POSIX has them
#: how files are opened for reading: a link is none of ours, and a pipe would keep us waiting, but for O_NONBLOCK
_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)
_numbers = count()
_private: list[str] = []  #: this process's own directory, where the user's cannot be written


def default_directory() -> str:
    """Where the cache is unless ``EPSILON_CACHE`` says otherwise: platformdirs' ``user_cache_dir("epsilon")``."""
    if sys.platform == "linux":  # what platformdirs gives there, without its 30 ms; a test compares the two
        root = os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")
        return os.path.join(root, "epsilon")
    import platformdirs

    return platformdirs.user_cache_dir("epsilon", appauthor=False)


def _complaint(place: str, status: os.stat_result) -> str | None:
    """Why what lies at ``place`` is not the user's alone to write, or None."""
    if not _OWN:
        return None
    if status.st_uid != os.geteuid():
        return f"{place} belongs to user {status.st_uid}, and this process is user {os.geteuid()}"
    if status.st_mode & 0o022:
        return f"{place} can be written by other users (mode {stat.S_IMODE(status.st_mode):04o}): chmod go-w it"
    return None


def fault(place: str) -> str | None:
    """Why nothing may be loaded from the directory ``place``, or None: it is there, a directory, and the user's alone.

    >>> fault("/")  # doctest: +SKIP
    '/ belongs to user 0, and this process is user 1000'
    """
    try:
        status = os.stat(place)
    except OSError as error:
        return f"{place}: {error.strerror}"
    return _complaint(place, status) if stat.S_ISDIR(status.st_mode) else f"{place} is no directory"


def _make(place: str) -> str | None:
    """Make the directory ``place``, 0700; why it cannot be made or written, or None."""
    try:
        if not os.path.exists(os.path.dirname(place)):
            os.makedirs(os.path.dirname(place), exist_ok=True)
        os.mkdir(place, 0o700)
    except FileExistsError:
        if not os.path.isdir(place):
            return f"{place} is no directory"
    except OSError as error:
        return f"{place} cannot be made: {error.strerror}"
    return None if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written"


def _serves(place: str) -> bool:
    """Whether the directory ``place`` is there, the user's alone, and can be written: what is so nearly always."""
    try:
        status = os.stat(place)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and _complaint(place, status) is None and os.access(place, os.W_OK | os.X_OK)


def _refuse(reason: str) -> ForeignError:
    return ForeignError(
        f"the cache cannot be used: {reason}; put that right, or name a directory of your own in EPSILON_CACHE"
    )


def directory() -> str:
    """The cache's directory: ``$EPSILON_CACHE``, else the platform's place for caches, made if need be.

    Where the platform's place cannot be written, as in many containers, this process has a directory of its own, which
    ends with it.  ``ForeignError`` if the directory belongs to another user or can be written by one, and if
    ``EPSILON_CACHE`` names what cannot be a directory.
    """
    named = os.environ.get("EPSILON_CACHE")
    place = os.path.abspath(named) if named else default_directory()
    if _serves(place):
        return place
    reason = _make(place)
    if reason is not None:
        unsafe = os.path.isdir(place) and fault(place)
        if named or unsafe:
            raise _refuse(unsafe or reason)
        return _own_directory()
    reason = fault(place)
    if reason is not None:
        raise _refuse(reason)
    return place


def _own_directory() -> str:
    if not _private or not os.path.isdir(_private[0]):
        import atexit
        import shutil
        import tempfile

        process = os.getpid()
        place = tempfile.mkdtemp(prefix="epsilon-cache-")
        _private[:] = [place]
        # A child made by fork has the same directory, and must not remove it.
        atexit.register(lambda: os.getpid() == process and shutil.rmtree(place, ignore_errors=True))
    return _private[0]


def key(*parts: str) -> str:
    """A name for what is made of ``parts`` on this platform by this version of Epsilon: 40 hexadecimal digits.

    What the compiler makes depends on ``compiler.identity()`` too, which is a part then.

    >>> key("ab", "c") == key("ab", "c"), key("ab", "c") == key("a", "bc")
    (True, False)
    """
    import epsilon

    system = os.uname() if hasattr(os, "uname") else None
    machine = system.machine if system else ""
    words = (epsilon.__version__, sys.platform, machine, str(sys.maxsize), sys.byteorder, *parts)
    data = [word.encode("utf-8", "surrogatepass") for word in words]
    return blake2b(b"".join([b"%d:%b" % (len(one), one) for one in data]), digest_size=20).hexdigest()


def entry(kind: str, key: str) -> str:
    """The path of the file ``key`` of that ``kind``; a directory for each kind is made.

    Both are names of letters, digits, ``_``, ``-`` and ``.``: ``ForeignError`` for another, as for ``directory()``.
    """
    for name in (kind, key):
        if not name.strip(".") or not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
            raise ForeignError(f"{name!r} is no name for what is in the cache")
    place = os.path.join(directory(), kind)
    if not _serves(place):
        reason = _make(place) or fault(place)
        if reason is not None:
            raise _refuse(reason)
    return os.path.join(place, key)


def _seal(data: bytes, path: str) -> bytes:
    """What stands at the end of a file: the digest covers its name, so that one file cannot stand in for another."""
    digest = blake2b(data, digest_size=_DIGEST, key=os.path.basename(path).encode()[-64:])
    return _MAGIC + digest.digest()


def read(kind: str, key: str) -> bytes | None:
    """What was written under ``key``; None where nothing is, or what is there is not whole, or not this user's.

    >>> write("example", "greeting", b"hello").endswith("greeting")
    True
    >>> read("example", "greeting"), read("example", "no-such-thing")
    (b'hello', None)
    """
    return _read(entry(kind, key))


def _read(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or _complaint(path, status):
            return None
        whole = os.read(descriptor, status.st_size)  # less than all is not whole, as the seal tells
    except OSError:
        return None
    finally:
        os.close(descriptor)
    data, seal = whole[: -len(_MAGIC) - _DIGEST], whole[-len(_MAGIC) - _DIGEST :]
    return data if seal == _seal(data, path) else None


def holds(kind: str, key: str) -> bool:
    """Whether ``read`` would give something."""
    return read(kind, key) is not None


def find(kind: str, key: str) -> str | None:
    """The path of what ``read`` would give, for those who have it read: a loader, a linker; or None."""
    path = entry(kind, key)
    return path if _read(path) is not None else None


def write(kind: str, key: str, data: bytes) -> str:
    """Keep ``data`` under ``key``, in place of what is there; the file's path.  ``ForeignError`` if it cannot be."""
    path = entry(kind, key)
    temporary = temporary_name(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        adopt(temporary, path)
    except OSError as error:
        raise ForeignError(f"the cache cannot be written: {path}: {error.strerror}") from None
    finally:
        _remove(temporary)
    return path


def temporary_name(path: str) -> str:
    """A name beside ``path``, which no other process or thread has."""
    return f"{path}.{os.getpid()}-{next(_numbers)}.tmp"


def adopt(temporary: str, path: str) -> None:
    """Seal the file ``temporary``, which lies beside ``path``, and give it that name."""
    with open(temporary, "r+b") as file:
        file.write(_seal(file.read(), path))
        file.flush()
    os.chmod(temporary, 0o600)
    if os.path.isdir(path) and not os.path.islink(path):  # a directory is in the way: os.replace does not replace one
        import shutil

        shutil.rmtree(path)
    os.replace(temporary, path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def lock(kind: str, key: str) -> AbstractContextManager[object]:
    """A context in which no other process or thread works on ``key``.  It is not to be entered twice.

    >>> with lock("example", "greeting"):
    ...     if not holds("example", "greeting"):
    ...         _ = write("example", "greeting", b"hello")
    """
    import filelock

    path = entry(kind, key) + ".lock"
    return filelock.FileLock(path, mode=0o600, thread_local=False).acquire(poll_interval=0.01)


def trusted(path: str) -> bool:
    """Whether the file at ``path`` lies in the cache and is this user's alone to write."""
    if os.path.dirname(os.path.dirname(path)) != directory() or fault(os.path.dirname(path)):
        return False
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and _complaint(path, status) is None


def size() -> tuple[int, int]:
    """How many files the cache has, and how many bytes they are together."""
    sizes = []
    for folder, _, names in os.walk(directory()):
        for name in names:
            try:
                sizes.append(os.lstat(os.path.join(folder, name)).st_size)
            except FileNotFoundError:  # another process has just renamed it
                continue
    return len(sizes), sum(sizes)
