"""Objects that show their memory by NumPy's ``__array_interface__`` or by DLPack: NumPy reads both.

Whatever takes a buffer takes these as well, where NumPy is there to read them.
"""

from __future__ import annotations

import sys

from epsilon.errors import ForeignTypeError, shorten

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


def exposed(value: Any) -> Any:
    """The object itself where it has a buffer, a NumPy array of what it shows where it does not; None: neither."""
    try:
        memoryview(value).release()
        return value
    except (TypeError, BufferError, ValueError):
        array = array_of(value)
    if array is None:
        return None
    try:
        memoryview(array).release()
        return array
    except (BufferError, ValueError) as error:  # elements that PEP 3118 has no word for, such as a date
        raise ForeignTypeError(f"got {shorten(value)}: {error}") from None


def array_of(value: Any) -> Any:
    """A NumPy array over the memory that an object shows, without a copy: itself, if it is one; None if it shows none.

    Raises ``ForeignTypeError`` where NumPy is missing, or does not take what the object shows (memory of a GPU, say).
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value
    kind = type(value)
    shows = next((name for name in ("__array_interface__", "__dlpack__") if hasattr(kind, name)), None)
    if shows is None:
        return None
    try:
        import numpy
    except ImportError as error:
        raise ForeignTypeError(f"got {shorten(value)} with {shows}, which needs NumPy to be read") from error
    try:
        if shows == "__dlpack__":
            device = value.__dlpack_device__()
            if device[0] != 1:  # kDLCPU of dlpack.h
                raise BufferError(f"it is on the device {device}, and not in the memory of this machine")
            return numpy.from_dlpack(value)
        found = numpy.asarray(value)
    except (TypeError, ValueError, BufferError, RuntimeError, AttributeError) as error:
        raise ForeignTypeError(f"got {shorten(value)}, whose {shows} NumPy does not take: {error}") from error
    if found.dtype.hasobject:
        raise ForeignTypeError(f"got {shorten(value)}, whose elements are Python objects")
    return found
