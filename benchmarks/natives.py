"""What native code costs beside the same in C at -O2, and to have it: built, found in the cache, a module of them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import epsilon
from benchmarks.rounds import Plan, Results, progress
from benchmarks.tasks import numbers
from benchmarks.workshop import Workshop

NATIVE, C = "native", "C at -O2"
QSORT = "qsort of 200,000 ints, ms"
MANDELBROT = "mandelbrot 200 × 150, depth 500, ms"
SUM = "sum over 10,000,000 ints, ms"
HASH = "hash of a text of 10 MB, ms"
KERNELS = (QSORT, MANDELBROT, SUM, HASH)
FIRST = "first build of one native, ms"
CACHED = "one native from the cache, ms"
MODULE = "a Hy module of 100 natives from the cache, hy imported, ms"
WAYS = (*KERNELS, FIRST, CACHED, MODULE)

SOURCE = """
#include <stddef.h>
#include <stdint.h>
int compare(const int *a, const int *b) { return (*a > *b) - (*a < *b); }
long sum(const int *p, size_t n) { long total = 0; for (size_t i = 0; i < n; i++) total += p[i]; return total; }
uint32_t hash(const char *s) { uint32_t h = 5381; while (*s) h = h * 33 + (unsigned)*s++; return h; }
int mandelbrot(int width, int height, int depth)
{
    int inside = 0;
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++) {
            double cx = 3.0 * column / width - 2.2, cy = 2.0 * row / height - 1.0, x = 0, y = 0;
            int n = 0;
            for (; n < depth; n++) {
                double xx = x * x, yy = y * y;
                if (xx + yy > 4.0)
                    break;
                y = 2.0 * x * y + cy;
                x = xx - yy + cx;
            }
            inside += n == depth;
        }
    return inside;
}
"""
PROTOTYPES = {
    "compare": "int compare(const int *a, const int *b)",
    "sum": "long sum(const int *p, size_t n)",
    "hash": "uint32_t hash(const char *s)",
    "mandelbrot": "int mandelbrot(int width, int height, int depth)",
}
BODIES = {
    "compare": "(- (> (deref a) (deref b)) (< (deref a) (deref b)))",
    "sum": "(setv total (the :long 0)) (for [i (range n)] (+= total (get p i))) total",
    "hash": """(setv h (the :uint32 5381)  p s)
               (while (deref p) (setv h (+ (* h 33) (deref p))) (setv p (+ p 1)))
               h""",
    "mandelbrot": """(setv inside 0)
        (for [row (range height)  column (range width)]
          (let [cx (- (/ (* 3.0 column) width) 2.2)  cy (- (/ (* 2.0 row) height) 1.0)
                x (the :double 0)  y (the :double 0)  n (the :int 0)]
            (while (< n depth)
              (let [xx (* x x)  yy (* y y)]
                (when (> (+ xx yy) 4.0) (break))
                (setv y (+ (* 2.0 x y) cy)
                      x (+ (- xx yy) cx)))
              (+= n 1))
            (+= inside (= n depth))))
        inside""",
}
MODULE_FORM = """(defnative f{n} :long ((p (:pointer :int)) (n :size) (k :int))
  (setv total (the :long {n}))
  (for [i (range n)]
    (when (> (get p i) k)
      (+= total (* (get p i) (f{next} p 0 k)))))
  (if (< total 0) (- total) (// total 3)))
"""
CHILDREN = {
    FIRST: "import epsilon, time; f = epsilon.define_native('int f(int a)', '(- a {turn})'); "
           "s = time.perf_counter(); f(1); print((time.perf_counter() - s) * 1e3)",
    CACHED: "import epsilon, time; f = epsilon.define_native('int f(int a)', '(+ a 1)'); "
            "s = time.perf_counter(); f(1); print((time.perf_counter() - s) * 1e3)",
    MODULE: "import hy, epsilon, epsilon._runtime, time; s = time.perf_counter(); import hundred; hundred.f0.address; "
            "print((time.perf_counter() - s) * 1e3)",
}  # fmt: skip


def kernels(library: Path) -> dict[tuple[str, str], Callable[[], Any]]:
    """Each runs one kernel once, in C or in native code, with the same arguments."""
    compiled = epsilon.lib_open(library)
    libc = epsilon.lib_open("libc")
    qsort = libc.bind("void qsort(void *base, size_t count, size_t width, void *compare)")
    given = numbers()
    many = epsilon.foreign_alloc("int", count=10_000_000)
    text = b"native code " * 833_333
    found: dict[tuple[str, str], Callable[[], Any]] = {}
    for row in (C, NATIVE):
        made = {
            name: compiled.bind(prototype) if row == C else epsilon.define_native(prototype, BODIES[name])
            for name, prototype in PROTOTYPES.items()
        }
        found[row, MANDELBROT] = lambda f=made["mandelbrot"]: f(200, 150, 500)
        found[row, SUM] = lambda f=made["sum"]: f(many, len(many))
        found[row, HASH] = lambda f=made["hash"]: f(text)

        def sort(compare: Any = made["compare"]) -> None:
            array = given[:]
            with epsilon.pinned_array(array) as p:
                start = time.perf_counter()
                qsort(p, len(array), 4, compare)
                return time.perf_counter() - start

        found[row, QSORT] = sort
    for way in KERNELS[1:]:
        assert found[C, way]() == found[NATIVE, way](), way
    return found


def spent(way: str, run: Callable[[], Any]) -> float:
    """Milliseconds of a kernel; the sort says itself how long C had it."""
    start = time.perf_counter()
    result = run()
    return 1e3 * (result if way == QSORT else time.perf_counter() - start)


def child(way: str, turn: int, folder: str, cache: str) -> float:
    """What a fresh process measures."""
    path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "EPSILON_CACHE": cache, "PYTHONPYCACHEPREFIX": folder}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    code = CHILDREN[way].format(turn=turn)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(workshop: Workshop, keys: list[str], plan: Plan, results: Results) -> None:
    """Add the samples to the results; without Epsilon among the peers there are none."""
    if "epsilon" not in keys:
        return
    source = workshop.directory / "natives.c"
    source.write_text(SOURCE, encoding="utf-8")
    library = workshop.directory / "libnatives.so"
    command = [*os.environ.get("CC", "cc").split(), "-O2", "-fPIC", "-shared", str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    runs = kernels(library)
    order = random.Random(5)
    for turn in range(max(plan.sorts, 3)):
        progress(f"native code, round {turn + 1}")
        for (row, way), run in order.sample(sorted(runs.items()), len(runs)):
            results.samples[row][way].append(spent(way, run))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        forms = "".join(MODULE_FORM.format(n=n, next=(n + 1) % 100) for n in range(100))
        Path(folder, "hundred.hy").write_text("(require epsilon [defnative])\n" + forms, encoding="utf-8")
        for way in CHILDREN:
            child(way, 0, folder, cache)  # compiles what is compiled once
        for turn in range(1, max(plan.processes, 3) + 1):
            progress(f"native code, process {turn}")
            for way in CHILDREN:
                results.samples[NATIVE][way].append(child(way, turn, folder, cache))
    progress("")
