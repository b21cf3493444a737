"""What README.md and docs/ say is true: the code runs and gives what is promised, the links lead somewhere, and the
README's layout is that of the tree."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import hy
import pytest
import snippets

import epsilon
from epsilon import cli, macros

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "NEWS.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"python", "hy", "console", "text"}
#: what builds and tools leave in a checkout, which the layout does not speak of
LEFT_BEHIND = re.compile(r"__pycache__|\..*|.*\.(so|pyd|dylib|o|egg-info)|build|dist|venv")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_code_runs(page, tmp_path):
    """In a child, so that a page starts from nothing; a file that a page makes is made in a folder of its own."""
    path = os.pathsep.join([str(Path(epsilon.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    child = subprocess.run(
        [sys.executable, "-X", "faulthandler", snippets.__file__, str(page)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stdout + child.stderr


@every_page
def test_languages_are_known(page):
    assert {block.language for block in snippets.blocks(page)} <= LANGUAGES


@every_page
def test_commands_exist(page):
    """The targets of ``make`` are in the Makefile, ``epsilon`` has the subcommands, scripts that are run are there."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for block in snippets.blocks(page):
        if block.language != "console":
            continue
        for line in block.text.splitlines():
            assert line.startswith("$ "), f"{page.name}: {line!r}: a command begins with '$ '"
            words = [word for word in line[2:].split() if not re.fullmatch(r"[A-Z_]+=.*", word)]
            if words[0] == "make":
                assert all(re.search(rf"^{target}:", makefile, re.M) for target in words[1:]), line
            elif words[0] == "epsilon":
                assert cli.parser().parse_args(words[1:]), line
            else:
                assert words[0] in ("pip", "python", "hy"), line
                assert all((ROOT / word).exists() for word in words[1:] if "/" in word), line


@every_page
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


# --- the figures ----------------------------------------------------------------------------------------------------


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in ``text``, cell by cell."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.M)]


def is_among(number: str, measured: list[str]) -> bool:
    """Whether a number is one of those ``measured``, rounded to as many digits as it has."""
    digits = len(number.partition(".")[2])
    return any(f"{float(figure):.{digits}f}" == number for figure in measured)


def test_figures_are_measured_ones():
    """Each number in the README's table of figures stands in a row of the same name in benchmarks/RESULTS.md."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    figures = rows(readme.partition("<!-- FIGURES")[2].partition("<!-- /FIGURES")[0])
    results = rows((ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")) if figures else []
    for label, *cells in figures:
        measured = re.findall(r"\d+(?:\.\d+)?", " ".join(sum((row[1:] for row in results if row[0] == label), [])))
        for number in re.findall(r"\d+(?:\.\d+)?", " ".join(cells)):
            assert label == "" or is_among(number, measured), f"{label}: {number}"


# --- the table of macros ------------------------------------------------------------------------------------------


def table_of_macros() -> list[tuple[str, str]]:
    """The rows of the table in docs/hy.md: a form, and what it expands to."""
    section = (ROOT / "docs" / "hy.md").read_text(encoding="utf-8").partition("\n## What each form expands to\n")[2]
    return re.findall(r"^\| `(.*)` \| `(.*)` \|$", section.partition("\n## ")[0], re.M)


@pytest.mark.parametrize(("form", "expansion"), table_of_macros(), ids=[form for form, _ in table_of_macros()])
def test_expansion(form, expansion):
    module = types.ModuleType("expander")
    hy.eval(hy.read("(require epsilon *)"), module.__dict__, module=module)
    shown = hy.repr(hy.macroexpand_1(hy.read(form), module))
    shown = re.sub(r"_hy_gensym_(\w+?)_\d+", lambda name: name[1].replace("_", "-"), shown)
    shown = re.sub(r'\(\. \(__import__ "epsilon\._runtime"\) _runtime ([^)]+)\)', r"R.\1", shown)
    assert shown == hy.repr(hy.read(expansion))


def test_table_has_every_macro():
    named = {hy.mangle(re.match(r"\(([^ ]+)", form)[1]) for form, _ in table_of_macros()}
    assert named == set(macros._hy_macros)


# --- the layout -----------------------------------------------------------------------------------------------------


def layout() -> dict[str, str]:
    """The README's layout: path → purpose."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Layout\n")[2].partition("\n## ")[0]
    tree = re.search(r"```text\n(.*?)```", section, re.S)[1]
    found: dict[str, str] = {}
    folders: list[tuple[int, str]] = []
    for line in tree.splitlines():
        indent = len(line) - len(line.lstrip())
        name, _, purpose = line.strip().partition("  ")
        folders = [(depth, folder) for depth, folder in folders if depth < indent]
        path = "".join(folder for _, folder in folders) + name
        found[path.rstrip("/")] = purpose.strip()
        if name.endswith("/"):
            folders.append((indent, name))
    return found


def here() -> set[str]:
    """What there is: the folders of the top level, and all within ``epsilon`` and ``c``."""
    found = [path for path in ROOT.iterdir() if path.is_dir()]
    found += [*(ROOT / "epsilon").rglob("*"), *(ROOT / "c").rglob("*")]
    paths = [path.relative_to(ROOT) for path in found]
    return {path.as_posix() for path in paths if not any(map(LEFT_BEHIND.fullmatch, path.parts))}


def test_layout_is_the_tree():
    described = {path for path in layout() if "/" in path or (ROOT / path).is_dir()}
    assert described == here()
    assert [path for path in layout() if not (ROOT / path).exists()] == []


def test_layout_says_what_for():
    assert [path for path, purpose in layout().items() if not purpose] == []
