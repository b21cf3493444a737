"""Enumerates signatures and holds every call and callback against the C compiler: ``make conformance``.

The parameters are those that an ABI must decide about: ``int``, ``long``, ``float``, ``double``, a pointer, and each
struct of one to three members of ``char``, ``int``, ``float``, ``double`` and a pointer: 160 types.  There are
4,121,761 lists of up to three of them.  Each stands behind eight prefixes, which leave it all the registers, or two,
one or none of a sort, so that a struct straddles their end; and the results go through all the types in turn.

A run takes ``--count`` of them, which ``--seed`` chooses: an eighth with at most one parameter (all there are, where
the count allows), then lists of two and of three from all over the enumeration, half of them without a prefix.  C is
written from the same enumeration (``cgen``), compiled once, half of it with ``-O2``, and called under each strategy in
a process of its own; of ``compiled``, one in ``--one-in``.  C judges what it receives, Python what comes back.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import math
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cgen import DOUBLE, FLOAT, INT, INTEGERS, LONG, POINTER, Kind, Shape, source, struct_kind

import epsilon
from epsilon import _backend, entries

CHAR = INTEGERS[0]
MEMBERS = {"c": CHAR, "i": INT, "f": FLOAT, "d": DOUBLE, "p": POINTER}
KINDS: list[Kind] = [
    *(INT, LONG, FLOAT, DOUBLE, POINTER),
    *(
        struct_kind("of_" + "".join(letters), [MEMBERS[letter] for letter in letters])
        for length in (1, 2, 3)
        for letters in itertools.product(MEMBERS, repeat=length)
    ),
]
#: how many lists of so many parameters there are
LISTS = [len(KINDS) ** count for count in range(4)]

_INTEGERS = 6 if os.uname().machine.lower() in ("x86_64", "amd64") else 8
_FLOATS = 8
#: what comes before, by the registers of each sort that it leaves
PREFIXES: dict[str, list[Kind]] = {
    "all": [],
    "2_integer": [LONG] * (_INTEGERS - 2),
    "1_integer": [LONG] * (_INTEGERS - 1),
    "0_integer": [LONG] * _INTEGERS,
    "1_float": [DOUBLE] * (_FLOATS - 1),
    "0_float": [DOUBLE] * _FLOATS,
    "1_of_each": [LONG] * (_INTEGERS - 1) + [DOUBLE] * (_FLOATS - 1),
    "none": [LONG, DOUBLE] * _INTEGERS + [DOUBLE] * (_FLOATS - _INTEGERS),
}
#: shapes in one C file
BATCH = 250


def scattered(count: int, total: int, seed: int) -> Iterator[int]:
    """``count`` different numbers below ``total``, evenly spread; all of them in a scattered order at the most."""
    step = round(total * 0.6180339887)
    while math.gcd(step, total) != 1:
        step += 1
    start = random.Random(seed).randrange(total)
    return ((start + turn * step) % total for turn in range(min(count, total)))


def parameters_at(count: int, index: int) -> list[Kind]:
    """The list of ``count`` parameters that has this number."""
    found = []
    for _ in range(count):
        index, place = divmod(index, len(KINDS))
        found.append(KINDS[place])
    return found


def shapes(count: int, seed: int) -> list[Shape]:
    """``count`` shapes of the enumeration, the same for the same seed; an eighth has at most one parameter, as long as
    there are so many, and half of the rest no prefix."""
    few = [(arity, index) for arity in (0, 1) for index in range(LISTS[arity])]
    names = list(PREFIXES)
    chosen: list[tuple[int, int, str]] = []
    for place in scattered(count // 8, len(few) * len(names), seed):
        chosen.append((*few[place % len(few)], names[place // len(few)]))
    quarter, over = divmod(count - len(chosen), 4)
    for arity in (2, 3):
        chosen += [(arity, index, "all") for index in scattered(quarter, LISTS[arity], seed + arity)]
        for place in scattered(quarter + over * (arity == 3), LISTS[arity] * (len(names) - 1), seed - arity):
            chosen.append((arity, place % LISTS[arity], names[1 + place // LISTS[arity]]))
    rng = random.Random(seed)
    made = []
    for turn, (arity, index, prefix) in enumerate(chosen):
        result = KINDS[(turn + seed) % len(KINDS)]
        name = f"f{turn}_{arity}_{index}_leaving_{prefix}"
        made.append(Shape(name, result, [*PREFIXES[prefix], *parameters_at(arity, index)]).draw(rng))
    return made


def batches(found: Sequence[Shape]) -> list[Sequence[Shape]]:
    """One for each C file."""
    return [found[start : start + BATCH] for start in range(0, len(found), BATCH)]


def differences(found: Sequence[Shape], library: epsilon.Library, direction: str) -> list[str]:
    """What went wrong with calls (``direction`` "calls") or callbacks of these shapes."""
    told = []
    for shape in found:
        try:
            (shape.check_call if direction == "calls" else shape.check_callback)(library)
        except Exception as error:
            told.append(str(error) if isinstance(error, AssertionError) else f"{shape}\n    {direction}: {error!r}")
    return told


# --- the run of them all --------------------------------------------------------------------------------------------

STRATEGIES = ["", "registers", "libffi", "cffi", "compiled"]
#: one in so many shapes has compiled entries, which take a tenth of a second each
COMPILED = 16


def compile_batch(folder: Path, number: int, batch: Sequence[Shape]) -> None:
    """One shared library; every other one is optimized."""
    text, library = folder / f"{number}.c", folder / f"{number}.so"
    text.write_text(source(batch), encoding="utf-8")
    command = [*shlex.split(os.environ.get("CC", "cc")), "-std=gnu11", "-w", "-shared", "-fPIC"]
    subprocess.run([*command, f"-O{2 * (number % 2)}", str(text), "-o", str(library), "-lm"], check=True)
    text.unlink()


def run_here(folder: Path, count: int, seed: int, one_in: int) -> None:
    """What the process of one strategy does: check everything, print how it went as JSON."""
    told: dict[str, list[str]] = {"calls": [], "callbacks": []}
    done = dict.fromkeys(told, 0)
    used: dict[str, int] = {}
    with open(folder / f"at-{_backend.strategy or 'default'}", "w", encoding="utf-8") as at:
        for number, batch in enumerate(batches(shapes(count, seed))):
            library = epsilon.lib_open(str(folder / f"{number}.so"))
            if _backend.strategy == "compiled":
                batch = batch[number % one_in :: one_in]
                signatures = [shape.bind(library).signature for shape in batch]
                entries.compile_all(signatures, signatures)
            for direction, found in told.items():
                for shape in batch:  # should the process crash, its parent tells where
                    at.seek(0)
                    at.write(f"{direction} of {shape}\n")
                    at.truncate()
                    at.flush()
                    found += differences([shape], library, direction)
                done[direction] += len(batch)
            for shape in batch:
                strategy = shape.bind(library).strategy
                used[strategy] = used.get(strategy, 0) + 1
    print(json.dumps({"done": done, "differences": told, "used": used}))


def run_child(folder: Path, strategy: str, count: int, seed: int, one_in: int) -> tuple[str, int]:
    """The report on one strategy, and how many differences there were."""
    started = time.monotonic()
    command = [sys.executable, "-X", "faulthandler", __file__, "--count", str(count), "--seed", str(seed)]
    child = subprocess.run(
        [*command, "--one-in", str(one_in), "--run-in", str(folder)],
        env={**os.environ, "EPSILON_STRATEGY": strategy, "EPSILON_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    label = strategy or "by default"
    if child.returncode:
        at = folder / f"at-{strategy or 'default'}"
        where = at.read_text(encoding="utf-8") if at.exists() else "before the first shape\n"
        return f"{label:10}  ended with {child.returncode} in {where}{child.stdout}{child.stderr}", 1
    report = json.loads(child.stdout)
    lines = [text for found in report["differences"].values() for text in found]
    used = ", ".join(f"{number} through {name}" for name, number in sorted(report["used"].items()))
    head = f"{label:10}  {report['done']['calls']} calls ({used}), {report['done']['callbacks']} callbacks: "
    head += f"{len(lines)} differences, {time.monotonic() - started:.0f} s"
    return "\n".join([head, *lines[:20], *(["…"] if len(lines) > 20 else [])]), len(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all under every strategy; the exit status says whether there was no difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40000, help="shapes, each called and called back (40000)")
    today = int(datetime.date.today().strftime("%Y%m%d"))
    parser.add_argument("--seed", type=int, default=today, help="chooses the shapes and the values (today's date)")
    parser.add_argument("--one-in", type=int, default=COMPILED, metavar="N",
                        help=f"of the strategy compiled, one shape in N ({COMPILED})")
    parser.add_argument("--run-in", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run_in:
        run_here(Path(options.run_in), options.count, options.seed, options.one_in)
        return 0
    found = shapes(options.count, options.seed)
    print(f"conformance: {len(found)} shapes each way, --seed {options.seed}", flush=True)
    strategies = STRATEGIES
    if entries.hindrance():
        strategies = STRATEGIES[:-1]
        print(f"nothing is compiled here: {entries.hindrance()}")
    if _backend.shim is None:
        strategies = ["cffi"]
        print(f"without the shim only cffi can be tested: {_backend.why_no_shim}")
    workers = ThreadPoolExecutor(os.cpu_count())
    with tempfile.TemporaryDirectory(prefix="epsilon-conformance-") as folder, workers as pool:
        started = time.monotonic()
        work = enumerate(batches(found))
        list(pool.map(lambda job: compile_batch(Path(folder), *job), work))
        print(f"compiled in {time.monotonic() - started:.0f} s", flush=True)
        total = 0
        for report, number in pool.map(
            lambda strategy: run_child(Path(folder), strategy, options.count, options.seed, options.one_in), strategies
        ):
            print(report, flush=True)
            total += number
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
