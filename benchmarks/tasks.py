"""What is measured: five shapes of call, one callback and one sort, and how a single number is taken."""

from __future__ import annotations

import gc
import itertools
import time
import timeit
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Shape(NamedTuple):
    """One column of the table: a C function of target.c and the statement that calls it."""

    title: str
    symbol: str
    prototype: str
    statement: str
    expected: Any


TEXT = "hello, world"

SHAPES = (
    Shape("void()", "f0", "void f0(void)", "f()", None),
    Shape("int(int,int)", "add", "int add(int a, int b)", "f(3, 4)", 7),
    Shape("double(double×3)", "mul3", "double mul3(double a, double b, double c)", "f(1.5, 2.0, 4.0)", 12.0),
    Shape("size_t(string)", "length", "size_t length(const char *text)", "f(text)", len(TEXT)),
    Shape("long(int,double,long,float,void*)", "mixed", "long mixed(int a, double b, long c, float d, void *p)",
          "f(1, 2.5, 3, 4.5, null)", 10),
)

CALLBACK = "callback"
QSORT = "qsort"
TASKS = (*(shape.symbol for shape in SHAPES), CALLBACK, QSORT)
TITLES = {**{shape.symbol: shape.title for shape in SHAPES}, CALLBACK: "callback int(int,int)",
          QSORT: "qsort of 200,000 ints"}

SORTED_NUMBERS = 200_000


def numbers(count: int = SORTED_NUMBERS) -> array:
    """Return `count` ints in 1 … 2**31-2, the same in every language (Park and Miller's minimal generator, 1988)."""
    state = 1
    values = array("i", bytes(4 * count))
    for index in range(count):
        state = state * 16807 % 2147483647
        values[index] = state
    return values


def add_in_python(a: int, b: int) -> int:
    """The callback of every Python peer."""
    return a + b


def compare(a: int, b: int) -> int:
    """The comparator of peers whose callback receives ints."""
    return a - b


def compare_pointers(a: Any, b: Any) -> int:
    """The comparator of peers whose callback receives typed pointers."""
    return a[0] - b[0]


def callback_sum(n: int) -> int:
    """What call_back in target.c returns for an adding callback."""
    return sum((i & 63) + 1 for i in range(n))


def timed(action: Callable[[], Any]) -> float:
    """Run `action` once with the collector off, as timeit does; return nanoseconds."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter_ns()
        action()
        return float(time.perf_counter_ns() - start)
    finally:
        if enabled:
            gc.enable()


@dataclass
class Peer:
    """One row of the table: a Python peer measured in this process.

    `functions` maps symbols of SHAPES to callables; `text` and `null` are what this peer takes for a `const char *`
    and a null `void *`. `call_back(n)` has C call a Python function n times and returns the sum of its results;
    `sort(array)` sorts an `array('i')` in place with C's qsort. What a peer does not do is left out.
    """

    name: str
    version: str = ""
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    text: Any = TEXT
    null: Any = None
    call_back: Callable[[int], int] | None = None
    sort: Callable[[array], Any] | None = None
    loops: dict[str, int] = field(default_factory=dict)

    def tasks(self) -> list[str]:
        """The tasks this peer can do, in table order."""
        can = {*self.functions}
        if self.call_back:
            can.add(CALLBACK)
        if self.sort:
            can.add(QSORT)
        return [task for task in TASKS if task in can]

    def check(self) -> None:
        """Do every task once (the sort on few numbers) and compare with what C must give; raise AssertionError."""
        for shape in SHAPES:
            if shape.symbol in self.functions:
                names = {"f": self.functions[shape.symbol], "text": self.text, "null": self.null}
                got = eval(shape.statement, names)
                assert got == shape.expected, f"{self.name}: {shape.prototype} gave {got!r}, not {shape.expected!r}"
        if self.call_back:
            got = self.call_back(100)
            assert got == callback_sum(100), f"{self.name}: the callback gave {got!r}, not {callback_sum(100)!r}"
        if self.sort:
            data = numbers(1000)
            self.sort(data)
            assert list(data) == sorted(numbers(1000)), f"{self.name}: qsort did not sort"

    def measure(self, task: str, seconds: float) -> float:
        """Return nanoseconds per call, per callback, or per whole sort, from a loop of about `seconds`."""
        if task == QSORT:
            data = fresh_numbers()
            return timed(lambda: self.sort(data))
        run = self._callbacks if task == CALLBACK else self._caller(task)
        if task not in self.loops:
            self.loops[task] = calibrate(run, seconds)
        count = self.loops[task]
        return run(count) / count

    def close(self) -> None:
        """Nothing to end in this process; the counterpart in remote.py ends its worker."""

    def _callbacks(self, count: int) -> float:
        return timed(lambda: self.call_back(count))

    def _caller(self, symbol: str) -> Callable[[int], float]:
        """A timeit loop over the shape's statement, with the function and its odd arguments in locals."""
        shape = next(shape for shape in SHAPES if shape.symbol == symbol)
        names = {"function": self.functions[symbol], "a_text": self.text, "a_null": self.null}
        timer = timeit.Timer(shape.statement, "f = function; text = a_text; null = a_null", globals=names)
        return lambda count: timer.timeit(count) * 1e9


def calibrate(run: Callable[[int], float], seconds: float) -> int:
    """Return how many repetitions of `run` (count → nanoseconds) take about `seconds`."""
    for count in (1000 * 4**power for power in itertools.count()):
        taken = run(count)
        if taken > seconds * 1e9 / 5:
            return max(1, int(count * seconds * 1e9 / taken))
    raise AssertionError("itertools.count() does not end")


_numbers: list[array] = []


def fresh_numbers() -> array:
    """A new unsorted array of SORTED_NUMBERS ints; they are generated once."""
    if not _numbers:
        _numbers.append(numbers())
    return _numbers[0][:]


def empty_loop(seconds: float, loops: dict[str, int]) -> float:
    """Nanoseconds of one turn of timeit's loop around nothing: what every shape's figure includes."""
    timer = timeit.Timer("pass")
    if "pass" not in loops:
        loops["pass"] = calibrate(lambda count: timer.timeit(count) * 1e9, seconds)
    return timer.timeit(loops["pass"]) * 1e9 / loops["pass"]
