"""What callbacks of every plain type get from C and give to it, printed: test_upcalls.py compares the strategies.

Run with the library of test_upcalls.py and the types in it; the last line is which strategies the callbacks had.
"""

import collections
import gc
import re
import sys

import epsilon
from epsilon._backend import address_of

c = epsilon.lib_open(sys.argv[1])
types = sys.argv[2:]
used = set()


def told(error):
    notes = "".join(f" + {note}" for note in getattr(error, "__notes__", ()))
    return re.sub("0x[0-9a-f]+", "0x…", f"{type(error).__name__}: {error}{notes}")


def shown(value):
    if type(value).__module__ == "builtins":
        return ascii(value)
    return f"{type(value).__name__} {'null' if isinstance(value, epsilon.CData) and not value else ''}"


def attempt(function, *arguments):
    try:
        return shown(function(*arguments))
    except BaseException as error:
        return told(error)


def callback(function, result, parameters, **options):
    made = epsilon.make_callback(function, result, parameters, **options)
    used.add(made.strategy)
    return made


def word(value=0):
    return epsilon.foreign_memory("unsigned long", initial=value)


class Small(int):
    pass


class Real(float):
    pass


class Words(str):
    pass


class Index:
    def __index__(self):
        return 3

    def __float__(self):
        return 3.5

    def __repr__(self):
        return "Index()"


def string(data):
    return epsilon.foreign_memory("unsigned char", count=len(data), initial=list(data))


text, wrong = string("Ünïcödé ☃".encode() + b"\0"), string(b"\xff\xfe\0")
texts = {address_of(text): "text", address_of(wrong): "no text", 0: "NULL"}
edges = {number for bits in (7, 8, 15, 16, 30, 31, 32, 60, 63, 64) for number in (2**bits - 1, 2**bits, 2**bits + 1)}
floats = [
    0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000001, 0x8000000000000000, 0x3FF8000000000000, 0x7F800000,
    0xFF800000, 0x7FC00001, 0x80000000, 0x3FC00000,
]  # fmt: skip
words = [0, 1, 5, 256, 257, 1000, 2**64 - 5, 2**64 - 6, *floats, *sorted(edge for edge in edges if edge < 2**64)]
results = [
    0, 1, -1, 5, -128, -129, 10**30, *sorted(edges), *sorted(-edge for edge in edges), True, False, None, 0.0, -0.0,
    1.5, float("nan"), float("inf"), -float("inf"), 1e300, 1e-300, 1j, "", "abc", "é☃", "nul\0", "\udcff", b"bytes",
    b"nul\0", [], (), object, Small(7), Real(2.5), Words("words"), Index(), bytearray(b"abc"), Ellipsis,
]  # fmt: skip
for number, name in enumerate(types):
    run = c.bind(f"run_{number}", "void", ["pointer"] * 3)
    run_in = c.bind(f"run_in_{number}", "void", ["pointer"] * 2)
    out, got = word(), []
    pointed = name in ("string", "pointer")

    def take(value, got=got):
        got.append(shown(value))

    def give(value, got=got):
        got.append(shown(value))
        return value

    def bits(pointed=pointed, out=out):
        return bool(out[0]) if pointed else hex(out[0])

    inside, both = callback(take, "void", [("in", name)]), callback(give, name, [name])
    for given in texts if name == "string" else words:
        place = word(given)
        which = texts[given] if name == "string" else given
        print(name, "gets", which, attempt(run, both, place, out), bits(), got)
        del got[:]
        print(name, "is pointed to", which, attempt(run_in, inside, place), got)
        del got[:]
    print(name, "is pointed to by NULL", attempt(run_in, inside, None), got)
    for value in results:
        for on_error in (None,) if pointed else (None, 1):
            back = callback(lambda given, value=value: value, name, [name], on_error=on_error)
            out[0] = 0
            print(name, "gives", ascii(value), on_error, attempt(run, back, word(), out), bits())
        if name == "string":
            for give_copy in (False, True):
                back = callback(lambda value=value: value, name, [], give=give_copy)
                print("length", attempt(c.bind("length", "int", ["pointer"]), back))

# more than numbers, and all registers
Point = epsilon.define_c_struct("upcall_point", [("x", "double"), ("y", "double")])


def take_points(pointer, point):
    print("points", type(pointer).__name__, type(point).__name__, point.x, point.y)
    return 0


to_point = c.bind("to_point", "void", ["pointer"])
to_point(callback(take_points, "int", [("pointer", "upcall_point"), ("in", "upcall_point")]))
everything = [
    "int", "double", "long", "float", "string", "double", ("in", "int"), "int", "float", "double", "double", "double",
    "float",
]  # fmt: skip
mixed = c.bind("mixed", "int", ["pointer", "int"])
print("mixed", attempt(mixed, callback(lambda *all: print(all) or len(all), "int", everything), 7))
apply = c.bind("apply", "int", ["pointer", "int"])
converted = callback(lambda data: print("object", data) or data, "object", ["object"])
print(attempt(c.bind("identity", "object", ["pointer", "object"]), converted, [1, 2]))


# who is called
class Callable:
    def __call__(self, n):
        return n + 1

    def method(self, n):
        return n + 2

    @classmethod
    def own(cls, n):
        return n + 3


for one in (Callable(), Callable().method, Callable.own, abs, int, (10).__add__, lambda *n, **k: n[0]):
    print("called", attempt(apply, callback(one, "int", ["int"]), -4))
for one in (lambda: 0, lambda a, b: 0, len, lambda a, *, b: 0, collections.Counter):
    print("not called", attempt(apply, callback(one, "int", ["int"]), -4))


# errors; each with the GIL kept and given up
def bad(n):
    return [1, 2][n]


def leaves():
    raise KeyboardInterrupt("now")


def ends_and_errors(critical):
    def bind(name, parameters, result="int"):
        return c.bind(name, result, parameters, critical=critical)

    apply, apply_at, got = bind("apply", ["pointer", "int"]), bind("apply", ["uintptr", "int"]), bind("got", [])
    for on_error in (None, 5, lambda error: 9, lambda error: "nine", lambda error: 1 // 0):
        back = callback(bad, "int", ["int"], on_error=on_error)
        print("raises", attempt(apply, back, 1), attempt(apply, back, 2), got())
        back.close()
        print("closed", back.strategy, attempt(apply_at, back.address, 1), got())

    def ends(n):
        ended.close()
        gc.collect()
        return n

    ended = callback(ends, "int", ["int"])
    print("ends itself", attempt(apply_at, ended.address, 3), attempt(apply_at, ended.address, 4))
    deep = callback(lambda n: apply(deep, n - 1) + 1 if n else 1 // 0, "int", ["int"])
    print("nested", attempt(apply, deep, 5))
    sound = callback(lambda n: apply(sound, n - 1) + 1 if n else 0, "int", ["int"])
    print("nested", attempt(apply, sound, 50))
    print("errno", bind("errno_after", ["pointer", "int"])(callback(abs, "int", ["int"]), -1))
    print("nothing", attempt(bind("no_result", ["pointer"], "void"), callback(lambda: 5, "void", [])))
    print("nothing", attempt(bind("no_result", ["pointer"], "void"), callback(leaves, "void", [])))


ends_and_errors(critical=False)
ends_and_errors(critical=True)
back = callback(lambda n: n, "int", ["int"])
print("threads", c.bind("on_threads", "int", ["pointer", "int"])(back, 500))
print("counted", epsilon.Signature("int", ["int"]).trampoline.callbacks)

# a converter of what C gives that is added later
late = callback(lambda n: print("late", n) or 5, "unsigned", ["unsigned"])
late_in = callback(lambda n: print("late", n), "void", [("in", "unsigned")])
epsilon.convert_from_foreign.register(int, "unsigned")(lambda n: f"<{n}>")
number = types.index("unsigned")
c.bind(f"run_{number}", "void", ["pointer"] * 3)(late, word(8), word())
c.bind(f"run_in_{number}", "void", ["pointer"] * 2)(late_in, word(9))
print(sorted(map(str, used)))
