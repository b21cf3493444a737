"""Plain Python through the registry: signatures get names, names stand for types, and calls share trampolines.

Run it with ``python examples/plain_python.py``.  It needs nothing but the C library; Hy is not imported.
"""

import sys
import tempfile
from pathlib import Path

import epsilon

# 1. A signature is registered once, by a name of our own choosing or by that of the function.
epsilon.register_signature("qsort", "void", ["pointer", "size", "size", "pointer"])
epsilon.register_signature("comparator", "int", [("in", "int"), ("in", "int")])
epsilon.register_signature("text-length", "unsigned-long", ["string"])

# 2. The name serves wherever types do: in a binding, in a callback, in a single call.
libc = epsilon.lib_open("libc")
qsort = libc.bind("qsort")  # its own name is registered
strlen = libc.bind("strlen", "text-length")


@epsilon.callback("comparator")
def ascending(a: int, b: int) -> int:
    """``("in", "int")``: C passes pointers, and we get what is behind them."""
    return a - b


def sort(numbers: list[int]) -> list[int]:
    """``numbers``, sorted by C with a comparator in Python."""
    with epsilon.foreign_memory("int", initial=numbers) as memory:
        qsort(memory, len(memory), epsilon.sizeof("int"), ascending)
        return list(memory)


def main() -> None:
    numbers = [3, 1, 4, 1, 5, 9, 2, 6]
    print("bound:", qsort)
    print("sorted:", sort(numbers))
    assert sort(numbers) == sorted(numbers)

    length = epsilon.shared_call(("strlen", "libc"), "text-length", "hello")
    print("lengths:", length, strlen("to the world"))
    assert (length, strlen("to the world")) == (5, 12)

    # 3. Equal signatures are one object, whatever spelling they came from, and it has one trampoline: compiled code
    #    that calls any address with these types.
    signature = epsilon.registry["text-length"]
    assert signature is strlen.signature is epsilon.Signature("unsigned long int", ["const char *"])
    trampoline = epsilon.get_or_create_trampoline("unsigned-long", ["string"])
    print("trampoline:", trampoline(libc.address("strlen"), "called by its address"))
    assert trampoline(libc.address("strlen"), "four") == 4

    # 4. An exception in a callback comes out of the call that C was in.
    def hopeless(a: int, b: int) -> int:
        raise ValueError(f"cannot compare {a} and {b}")

    with epsilon.make_callback(hopeless, "comparator", on_error=0) as callback:
        with epsilon.foreign_memory("int", initial=[2, 1]) as memory:
            try:
                qsort(memory, 2, 4, callback)
            except ValueError as error:
                print("raised:", error)
            else:
                raise AssertionError("the callback's exception was lost")

    # 5. The registry counts, and can be written to a file and read back.
    statistics = epsilon.registry.stats()
    print("trampolines:", statistics["trampolines"], "hits:", statistics["hits"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signatures.json"
        epsilon.registry.save(path)
        epsilon.registry.load(path)  # the same names with the same meaning: no error
        print("registered:", ", ".join(sorted(epsilon.registry)))
    assert "hy" not in sys.modules


if __name__ == "__main__":
    main()
