"""Which threads were asked to stop their foreign call: what cancels a ``call_async``, for whoever calls again.

A signal makes a system call give ``EINTR``; a loop that would then call again, as ``retry="EINTR"`` asks for, must look
here first.
"""

from __future__ import annotations

from _thread import get_ident

#: idents of threads that were asked to stop
threads: set[int] = set()


def check() -> None:
    """Raise ``asyncio.CancelledError`` if the thread that this is was asked to stop.

    >>> check()
    """
    if threads and get_ident() in threads:
        from asyncio import CancelledError

        raise CancelledError("the foreign call was cancelled")
