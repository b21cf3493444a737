"""What memory is live: the report, and EPSILON_CHECK=1."""

import os
import subprocess
import sys

from clib import compile_c, run_child

import epsilon

C = "#include <string.h>\nchar *owned(void) { return strdup(\"owned\"); }"

PROGRAM = """\
import sys
import epsilon

kept = epsilon.foreign_alloc("int", count=3)
freed = epsilon.foreign_alloc("int", count=4)
epsilon.foreign_free(freed)
epsilon.foreign_alloc("int", count=5)
with epsilon.foreign_memory("int", count=6):
    pass
with epsilon.pooled_memory("int", count=7):
    pass
a = epsilon.arena()
a.alloc("int", count=8)
point = epsilon.define_c_struct("report_point", [("x", "int")])
one = point(1)
text = epsilon.lib_open(sys.argv[1]).bind("char *owned(void)", free="free")()
found = {block.type: block for block in epsilon.memory.report() if block.allocated}
print(*sorted((block.type, block.size, block.allocated) for block in found.values() if block.size), sep="\\n")
"""


def live(size):
    return [block for block in epsilon.memory.report() if block.size == size]


def test_the_report_has_what_is_live_with_type_and_size():
    p = epsilon.foreign_alloc("int", count=7919)
    q = epsilon.pointer_add(p, 0)
    (block,) = live(4 * 7919)
    assert (block.type, block.size, block.address) == ("int [7919]", 31676, p.address)
    assert "int [7919], 31676 bytes at 0x" in str(epsilon.memory.report())
    epsilon.foreign_free(p)
    assert live(4 * 7919) == [] and not q.alive


def test_arenas_and_structs_are_in_the_report():
    big = epsilon.define_c_struct("report_big", [("a", ("array", "int", 7907))])
    one = big()
    with epsilon.arena("confined") as a:
        p = a.alloc("int", count=7901)
        assert [block.type for block in live(4 * 7907)] == ["struct report_big"]
        assert any("arena" in block.type for block in epsilon.memory.report())
    assert not any(block.size == p.size for block in epsilon.memory.report())
    assert one.a[0] == 0


def run(program, path, **environment):
    done = subprocess.run(
        [sys.executable, path, *program], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout, done.stderr


def test_under_epsilon_check_lines_are_exact_and_what_is_live_is_printed_at_exit(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    root = os.path.dirname(os.path.dirname(epsilon.__file__))
    out, errors = run([compile_c(C)], str(path), EPSILON_CHECK="1", PYTHONPATH=root)
    assert f"('int [3]', 12, '{path}:4')" in out and f"('struct report_point', 4, '{path}:15')" in out
    head, *blocks = errors.splitlines()
    assert head == "epsilon: 3 blocks of foreign memory are live at exit:"
    lines = sorted(block.rsplit(":", 1)[1] for block in blocks)
    assert lines == ["13", "16", "4"]
    assert any(block.startswith("  int [3], 12 bytes at 0x") and block.endswith(f"{path}:4") for block in blocks)
    assert any(block.startswith("  char *, of unknown size at 0x") for block in blocks)


def test_a_program_without_leaks_prints_nothing(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("import epsilon\nwith epsilon.foreign_memory('int') as p:\n    p[0] = 1\n", encoding="utf-8")
    root = os.path.dirname(os.path.dirname(epsilon.__file__))
    assert run([], str(path), EPSILON_CHECK="1", PYTHONPATH=root) == ("", "")


def test_nothing_is_printed_or_remembered_otherwise():
    code = "import epsilon; p = epsilon.foreign_alloc('int', count=7); print(epsilon.memory.report()[-1].allocated)"
    assert run_child(code, EPSILON_CHECK="0") == "None\n"


def test_the_functions_keep_their_names_and_help_under_epsilon_check():
    code = "import epsilon; print(epsilon.foreign_alloc.__name__, epsilon.foreign_alloc('int', initial=[1])[0])"
    assert run_child(code, EPSILON_CHECK="1") == "foreign_alloc 1\n"
