"""The rounds: every row does every task once a round, in a shuffled order, so that noise hits all alike."""

from __future__ import annotations

import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.tasks import QSORT, TASKS, empty_loop

LOOP = "(empty loop)"
Statistic = Callable[[Iterable[float]], float]


@dataclass
class Plan:
    """How long to measure: rounds of calls and callbacks, seconds of one loop, rounds of sorting, fresh processes."""

    rounds: int = 30
    seconds: float = 0.02
    sorts: int = 7
    processes: int = 21


QUICK = Plan(rounds=3, seconds=0.004, sorts=1, processes=3)


@dataclass
class Results:
    """The samples of one run, in nanoseconds: `samples[row][task]`; rows that failed have their reason instead."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    reasons: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def value(self, row: str, task: str, statistic: Statistic) -> float:
        """One figure of the table; KeyError where it was not measured."""
        if row not in self.samples or task not in self.samples[row]:
            raise KeyError(f"{task} of {row}")
        return statistic(self.samples[row][task])


STATISTICS: dict[str, Statistic] = {"minimum": min, "median": statistics.median}


def measure(rows: Sequence[Any], plan: Plan, results: Results) -> None:
    """Fill `results.samples`; a row whose task fails is taken out with its reason and its samples."""
    order = random.Random(2)
    working = list(rows)
    loops: dict[str, int] = {}
    results.versions.update((row.name, row.version) for row in working)
    short = [task for task in TASKS if task != QSORT]
    for turn in range(plan.rounds):
        progress(f"calls and callbacks, round {turn + 1} of {plan.rounds}")
        results.samples[LOOP][LOOP].append(empty_loop(plan.seconds, loops))
        one_round(working, short, plan.seconds, order, results)
    for turn in range(plan.sorts):
        progress(f"sorts, round {turn + 1} of {plan.sorts}")
        one_round(working, [QSORT], plan.seconds, order, results)
    progress("")


def one_round(working: list[Any], tasks: Sequence[str], seconds: float, order: random.Random, results: Results) -> None:
    """Every row once through every task, in a new order for each."""
    for task in tasks:
        for row in order.sample(working, len(working)):
            if task not in row.tasks():
                continue
            try:
                results.samples[row.name][task].append(row.measure(task, seconds))
            except Exception as error:  # a peer that fails half-way is a row with a reason
                results.reasons[row.name] = f"{task}: {type(error).__name__}: {error}"
                results.samples.pop(row.name, None)
                working.remove(row)


def progress(text: str) -> None:
    """One changing line on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
