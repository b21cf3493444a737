"""epsilon._abi: floor 0 over cffi's ABI mode, for when the shim is not built, or not wanted.

It offers the names of the shim, with the same meaning, attributes, hooks and errors, so that all above is shared.
``_cffi_backend`` does the calls and the closures, through the libffi that cffi was built with.  What that cannot do is
a ForeignTypeError that says "needs the shim": unions, bit-field and packed structs and ``_Complex`` by value, a call
that keeps the GIL, and other calling conventions.
"""

from epsilon._abi.batch import Batch
from epsilon._abi.call import Trampoline, errno, set_errno
from epsilon._abi.callback import Callback
from epsilon._abi.convert import Converter
from epsilon._abi.elements import Memory
from epsilon._abi.function import Function
from epsilon._abi.guarded import Cell, Guarded, leave_to, own_calls, set_hooks
from epsilon._abi.lease import Lease
from epsilon._abi.plan import conventions

__all__ = [
    "Batch", "Callback", "Cell", "Converter", "Function", "Guarded", "Lease", "Memory", "Trampoline", "conventions",
    "errno", "leave_to", "own_calls", "set_errno", "set_hooks",
]  # fmt: skip
