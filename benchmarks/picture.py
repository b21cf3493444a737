"""The picture: one panel per shape, one bar per peer, Epsilon's in colour."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers import CATALOGUE, CRITICAL, DEFAULT, HANDWRITTEN
from benchmarks.rounds import Results
from benchmarks.tasks import QSORT, TASKS, TITLES
from benchmarks.workshop import Workshop

ABROAD = ("C", "LuaJIT", "SBCL sb-alien", "SBCL CL CFFI")  # no Python in their loop
COLOURS = {CRITICAL: "#c2410c", DEFAULT: "#f59e0b", HANDWRITTEN: "#334155"}
PLAIN, OTHER_LANGUAGE = "#a8b6c8", "#d9e0e8"
TEXT, FAINT = "#1f2937", "#6b7280"


def draw(workshop: Workshop, results: Results, path: Path) -> str | None:
    """Draw the minima of every peer as `path` (SVG); return its name, or None where matplotlib cannot be had."""
    try:
        workshop.install("matplotlib")
        import matplotlib

        matplotlib.use("svg")
        from matplotlib import pyplot
    except Exception as error:  # the tables stand without the picture
        print(f"no picture: {error}", file=sys.stderr)
        return None
    matplotlib.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "epsilon", "font.family": "sans-serif", "font.size": 9,
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"], "text.color": TEXT,
    })
    names = [name for entry in CATALOGUE for name in entry.rows if name in results.samples]
    figure, grid = pyplot.subplots(2, 4, figsize=(15, 8.2), layout="constrained", facecolor="white")
    for panel, task in zip(grid.flat, TASKS, strict=False):
        bars(panel, results, task, [name for name in names if task in results.samples[name]])
    legend(grid.flat[-1], pyplot)
    figure.suptitle("From Python to C and back", x=0.008, ha="left", fontsize=14, weight="bold")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path.name


def bars(panel, results: Results, task: str, names: list[str]) -> None:
    """One panel: horizontal bars in the order of the table, each with its figure at the end."""
    scale = 1e6 if task == QSORT else 1
    values = [results.value(name, task, min) / scale for name in names]
    places = range(len(names))
    panel.barh(places, values, color=[colour(name) for name in names], height=0.72)
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        panel.text(value + max(values, default=0) * 0.015, place, f"{value:.0f}" if value >= 10 else f"{value:.1f}",
                   va="center", fontsize=8, weight="bold" if name in COLOURS else "normal")
    panel.set_yticks(places, names)
    for label, name in zip(panel.get_yticklabels(), names, strict=True):
        label.set_color(TEXT if name in COLOURS else FAINT)
        label.set_fontweight("bold" if name in (CRITICAL, DEFAULT) else "normal")
    panel.invert_yaxis()
    panel.set_title(f"{TITLES[task]}, {'ms' if task == QSORT else 'ns'}", loc="left", fontsize=10, weight="bold")
    panel.set_xlim(0, max(values, default=1) * 1.14)
    panel.xaxis.set_visible(False)
    panel.tick_params(axis="y", length=0)
    panel.spines[:].set_visible(False)


def colour(name: str) -> str:
    """Epsilon stands out, the yardstick is dark, other languages are pale."""
    return COLOURS.get(name, OTHER_LANGUAGE if name in ABROAD else PLAIN)


def legend(panel, pyplot) -> None:
    """The last panel says what the colours mean."""
    panel.axis("off")
    kinds = {"Epsilon, :critical (GIL kept)": COLOURS[CRITICAL], "Epsilon (GIL released)": COLOURS[DEFAULT],
             "hand-written extension": COLOURS[HANDWRITTEN], "other ways from Python to C": PLAIN,
             "other languages": OTHER_LANGUAGE}
    patches = [pyplot.Rectangle((0, 0), 1, 1, color=shade) for shade in kinds.values()]
    panel.legend(patches, kinds, loc="center left", frameon=False, fontsize=9,
                 title="Time per call, callback or sort:\nminimum of the rounds, shorter is better\n",
                 alignment="left", title_fontsize=9)
