"""One line on the terminal while headers are read for the first time, if that takes long."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from threading import Lock, Timer

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 1.0  #: seconds before the line appears


@contextmanager
def shown(what: str) -> Iterator[None]:
    """Say ``what`` on a terminal when the body takes longer than a second, and take it back at its end.  Where stderr
    is no terminal, nothing is ever said."""
    terminal = sys.stderr
    if terminal is None or terminal.closed or not terminal.isatty():
        yield
        return
    lock, state = Lock(), {"over": False, "said": False}

    def say() -> None:
        with lock:
            if not state["over"]:
                terminal.write(f"epsilon: {what} ...")
                terminal.flush()
                state["said"] = True

    timer = Timer(_PATIENCE, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            state["over"] = True
            if state["said"]:
                terminal.write("\r\x1b[K")  # ECMA-48: erase in line
                terminal.flush()
