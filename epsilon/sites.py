"""Lines of the user's code, as errors and reports name them."""

from __future__ import annotations

import os
import sys
from types import FrameType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def caller(depth: int = 2) -> str:
    """``file:line`` of the code that called the caller of this."""
    return _line(sys._getframe(depth))


def users_line() -> str:
    """``file:line`` of the code outside of Epsilon that led here."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return _line(frame)


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
