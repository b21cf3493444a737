"""``epsilon.libc``: every declaration is the headers' own, and what is declared works."""

import re
import sys

import pytest
from clib import compile_c, run_child

import epsilon
import epsilon.libc as libc

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="held against the headers of Linux")

HEADERS = """
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wctype.h>
"""
NAMES = sorted(libc._functions())


def redeclared(declarations: dict[str, str]) -> str:
    """C text that declares each function again, in its own name; a type that conflicts is an error in C."""
    return HEADERS + "".join(f"#undef {name}\n{text}\n" for name, text in declarations.items())


def test_there_are_enough_and_each_once():
    texts = [text for *_, text in libc._BLOCKS]
    assert len(NAMES) == sum(len(re.findall(r"\);$", text, re.M)) for text in texts) > 200


def test_declarations_are_those_of_the_headers():
    compile_c(redeclared({name: text for name, (*_, text) in libc._functions().items()}), "-Werror")


def test_what_was_read_is_what_is_written():
    """The prototypes as Epsilon has read them, in its own spelling, are still the headers'."""
    prototypes = {name: f"{getattr(libc, name).prototype};" for name in NAMES}
    plain = {name: re.sub(r"struct (l*div_t)", r"\1", text) for name, text in prototypes.items()}
    compile_c(redeclared(plain), "-Werror")


def test_a_wrong_declaration_would_be_found():
    with pytest.raises(AssertionError, match="conflicting types"):
        compile_c(redeclared({"strlen": "int strlen(const char *s);"}), "-Werror")


@pytest.mark.parametrize("name", NAMES)
def test_each_function_is_there(name):
    assert getattr(libc, name).address


@pytest.mark.parametrize(("spelling", "name"), [
    ("div_t", "div_t"), ("ldiv_t", "ldiv_t"), ("lldiv_t", "lldiv_t"), ("struct timespec", "timespec"),
    ("struct timeval", "timeval"), ("struct tm", "tm"),
])  # fmt: skip
def test_layouts_are_those_of_the_headers(spelling, name):
    found = getattr(libc, name)
    members = [(member.name, member.ctype.size) for member in found.ctype.fields]
    asserts = [f"sizeof({spelling}) == {found.size}", f"_Alignof({spelling}) == {found.alignment}"]
    asserts += [f"offsetof({spelling}, {member}) == {found.offset(member)}" for member, _ in members]
    asserts += [f"sizeof((({spelling} *)0)->{member}) == {size}" for member, size in members]
    compile_c(HEADERS + "".join(f'_Static_assert({text}, "{text}");\n' for text in asserts))


def test_the_variables_are_those_of_the_headers():
    declared = [text for text in libc._TYPES.splitlines() if text.startswith("extern")]
    compile_c(HEADERS + "#undef stdin\n#undef stdout\n#undef stderr\n" + "\n".join(declared), "-Werror")
    assert set(libc._types().variables) == {"stdin", "stdout", "stderr", "environ"}


# --- use ------------------------------------------------------------------------------------------------------------


def test_names_are_imported_like_those_of_any_module():
    from epsilon.libc import memcpy, strlen

    assert strlen("hello") == 5
    with epsilon.pinned_array(bytearray(4)) as target, epsilon.pinned_array(b"abcd") as source:
        memcpy(target, source, 4)
        assert bytes(target) == b"abcd"
    assert libc.strlen is strlen
    assert {"strlen", "sqrt", "tm", "stdout", "FILE"} <= set(dir(libc))


def test_an_unknown_name_has_its_neighbours_named():
    with pytest.raises(AttributeError, match="declares no 'strlne'; did you mean 'strlen'"):
        _ = libc.strlne
    with pytest.raises(ImportError):
        from epsilon.libc import strlne  # noqa: F401


def test_a_callable_compares():
    numbers = epsilon.foreign_alloc("int", initial=[5, 3, 9, 1])

    def compare(a, b):
        return epsilon.deref_int(a) - epsilon.deref_int(b)

    libc.qsort(numbers, 4, 4, compare)
    assert list(numbers) == [1, 3, 5, 9]
    key = epsilon.foreign_alloc("int", initial=[9])
    assert epsilon.deref(libc.bsearch(key, numbers, 4, 4, compare), type="int") == 9


def test_structs_by_value_and_through_pointers():
    assert dict(libc.lldiv(17, -5)) == {"quot": -3, "rem": 2}
    moment = libc.tm()
    libc.gmtime_r(epsilon.foreign_alloc("time_t", initial=[86400]), moment)
    assert (moment.tm_year, moment.tm_mday, moment.tm_wday) == (70, 2, 5)
    assert libc.timegm(moment) == 86400
    text = bytearray(11)
    assert libc.strftime(text, 11, "%Y-%m-%d", moment) == 10
    assert text == b"1970-01-02\0"


def test_errno_is_kept_where_c_sets_it(tmp_path):
    assert libc.open(tmp_path / "none", 0) == -1
    assert epsilon.errno() == 2


def test_a_file_is_written_and_read(tmp_path):
    stream = libc.fopen(tmp_path / "file", "w")
    assert libc.fprintf(stream, "%s %d\n", "line", 1) == 7
    assert libc.fclose(stream) == 0
    assert (tmp_path / "file").read_text() == "line 1\n"
    stream = libc.fopen(tmp_path / "file", "r")
    line = epsilon.foreign_alloc("char", count=20)
    assert epsilon.foreign_string(libc.fgets(line, 20, stream)) == "line 1\n"
    assert libc.feof(stream) == 0
    libc.fclose(stream)


def test_a_file_is_no_directory():
    with pytest.raises(epsilon.ForeignTypeError, match="DIR|__dirstream"):
        libc.closedir(libc.stdout.value)


def test_stdout_is_c_s_own():
    code = """if 1:
        from epsilon.libc import fputs, fflush, printf, stdout
        fputs("one ", stdout.value), printf("%d\\n", 2), fflush(None)
    """
    assert run_child(code) == "one 2\n"


def test_importing_reads_nothing_yet():
    code = """if 1:
        import sys, epsilon, epsilon.libc
        print("epsilon.declarator" in sys.modules, "epsilon.bindings" in sys.modules, bool(epsilon.libc._index))
    """
    assert run_child(code) == "False False False\n"


def test_threads_share_the_types():
    code = """if 1:
        import threading
        from epsilon import libc
        found = []
        threads = [threading.Thread(target=lambda: found.extend((libc.tm, libc.div_t))) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert len(set(found)) == 2
    """
    run_child(code)


def test_the_user_s_own_struct_tm_stays():
    code = """if 1:
        import epsilon
        own = epsilon.define_c_struct("tm", [("year", "int")])
        from epsilon.libc import tm
        assert tm is not own and epsilon.ctype("struct tm") is own.ctype
    """
    run_child(code)
