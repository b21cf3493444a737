"""Libraries: where they are looked for, what is said of those that do not load, and closing them under a call.

The libraries are real ones: compiled here, and then moved, damaged or robbed of what they need.
"""

import copy
import os
import pathlib
import pickle
import shutil
import struct
import subprocess
import sys
import textwrap
import threading

import pytest

import epsilon
from epsilon import elf, libraries, loader, search

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="file names and messages are those of Linux")
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the tests compile their own C")

SOURCE = """
#include <unistd.h>
int answer(void) { return VALUE; }
int answer_to_everything(void) { return VALUE; }
static int hidden_answer(void) { return 0; }
int counter = VALUE;
int call(int (*function)(int), int x) { return function(x) + hidden_answer(); }
int increment(int x) { return x + 1; }
const char *tell_after(void (*function)(void)) { function(); return "a text within the library"; }
/* Says that it is inside, then stays there until it is told to go. */
int stay(int tell, int wait) { char c = 'x'; return write(tell, &c, 1) == 1 && read(wait, &c, 1) == 1 ? VALUE : -1; }
"""


def compile_library(path, source=SOURCE, value=42, *flags):
    """Compile ``source`` to the shared library ``path``, with the macro ``VALUE`` set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-shared", "-fPIC", f"-DVALUE={value}", "-x", "c", "-", "-x", "none", *flags, "-o", str(path)]
    subprocess.run(command, input=source, text=True, check=True)
    return path


@pytest.fixture(scope="session")
def prototype(tmp_path_factory):
    return compile_library(tmp_path_factory.mktemp("library") / "libprototype.so")


@pytest.fixture
def make(prototype, tmp_path):
    """Makes a library of the tests' own at a path below ``tmp_path``, which no other test has."""

    def make(name, value=None):
        path = tmp_path / name
        if value is not None:
            return compile_library(path, value=value)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(prototype, path)
        return path

    return make


@pytest.fixture
def search_paths(monkeypatch):
    """``epsilon.library_search_paths``, which is the test's own until it ends."""
    paths = []
    monkeypatch.setattr(epsilon, "library_search_paths", paths)
    return paths


def environment(**variables):
    """The variables of a child process that is to import this same Epsilon."""
    return {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(epsilon.__file__)), **variables}


def is_loaded(path):
    return str(path) in loader.process_files()


def value_of(library):
    return library.bind("int answer(void)")()


def failure(name):
    with pytest.raises(epsilon.LibraryLoadError) as caught:
        epsilon.lib_open(name)
    return str(caught.value)


# --- Names ---


@pytest.mark.parametrize("name", ["libc", "c", "libc.so.6", None, b"libc"])
def test_the_c_library_has_many_names(name):
    with epsilon.lib_open(name) as libc:
        assert libc.address("strlen") == epsilon.lib_open("libc").address("strlen")
        assert libc.bind("size_t strlen(const char *s)")("hello") == 5


def test_the_process_itself_has_no_name_and_no_path():
    process = epsilon.lib_open(None)
    assert process.name is process.path is None
    assert process.address("Py_GetVersion") > 0
    assert repr(process) == "<library None (the process itself)>"


def test_name_and_path_tell_what_was_asked_for_and_what_was_loaded(make, search_paths):
    path = make("libasked.so")
    search_paths.append(path.parent)
    library = epsilon.lib_open("asked")
    assert library.name == "asked"
    assert library.path == str(path)
    assert repr(library) == f"<library 'asked' ({path})>"
    assert repr(epsilon.lib_open(path)) == f"<library {str(path)!r}>"


@linux_only
def test_the_path_is_the_loader_s_own_where_it_did_the_search():
    path = epsilon.lib_open("libc").path
    assert os.path.isabs(path)
    assert os.path.realpath(path) in map(os.path.realpath, loader.process_files())


@pytest.mark.parametrize("name", ["libshort", "short", "libshort.so"])
def test_a_library_is_found_by_its_short_name_and_by_its_file_name(name, make, search_paths):
    search_paths.append(str(make("libshort.so").parent))
    assert value_of(epsilon.lib_open(name)) == 42


def test_a_file_without_prefix_or_suffix_is_found_in_a_directory_that_was_named(make, search_paths):
    search_paths.append(make("plugin.so", 1).parent)
    make("bare", 2)
    assert value_of(epsilon.lib_open("plugin")) == 1
    assert value_of(epsilon.lib_open("bare")) == 2


@pytest.mark.parametrize("name", ["./librelative.so", "sub/../librelative.so", pathlib.Path("librelative.so")])
def test_a_relative_path_is_taken_as_given(name, make, monkeypatch, tmp_path):
    path = make("librelative.so")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    assert epsilon.lib_open(name).path == str(path)


def test_a_path_that_is_not_utf8_opens(make):
    path = make(os.fsdecode(b"lib\xff.so"))
    assert value_of(epsilon.lib_open(path)) == value_of(epsilon.lib_open(os.fsencode(path))) == 42


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", epsilon.ForeignValueError),
        ("lib\0c", epsilon.ForeignValueError),
        ("lib\ud800", epsilon.ForeignValueError),
        (3, epsilon.ForeignTypeError),
        (["libc"], epsilon.ForeignTypeError),
    ],
)
@pytest.mark.parametrize("function", [epsilon.lib_open, libraries.library_for])
def test_what_is_no_name_is_refused(function, name, error):
    with pytest.raises(error, match="library"):
        function(name)


@pytest.mark.parametrize("flags", ["now", None, -1, 1 << 40])
def test_flags_that_are_none_are_refused(flags):
    with pytest.raises(epsilon.ForeignTypeError, match="flags"):
        epsilon.lib_open("libc", flags)


@linux_only
def test_flags_are_those_of_dlopen(make):
    path = make("libglobal.so")
    compile_library(path, "int found_in_the_process(void) { return VALUE; }")
    process = epsilon.lib_open(None)
    with epsilon.lib_open(path) as local:
        assert process.find("found_in_the_process") is None
        with pickle.loads(pickle.dumps(epsilon.lib_open(path, os.RTLD_GLOBAL))) as library:
            assert process.address("found_in_the_process") == local.address("found_in_the_process")
            assert library.closed is False


# --- The order of the search ---


@linux_only
def test_the_list_comes_first_then_the_environment_then_the_system(make, search_paths, monkeypatch, tmp_path):
    make("first/libz.so", 1)
    make("second/libz.so", 2)
    make("third/libz.so", 3)
    assert epsilon.lib_open("libz").address("zlibVersion")
    monkeypatch.setenv("EPSILON_LIBRARY_PATH", os.pathsep.join([str(tmp_path / "second"), str(tmp_path / "third")]))
    assert value_of(epsilon.lib_open("libz")) == 2
    search_paths.append(tmp_path / "first")
    assert value_of(epsilon.lib_open("libz")) == 1
    epsilon.library_search_paths = [str(tmp_path / "third")]
    assert value_of(epsilon.lib_open("libz")) == 3
    epsilon.library_search_paths = []
    monkeypatch.delenv("EPSILON_LIBRARY_PATH")
    assert epsilon.lib_open("libz").address("zlibVersion")


def test_a_directory_without_the_library_is_passed_over(make, search_paths, tmp_path):
    (tmp_path / "empty").mkdir()
    search_paths += [tmp_path / "none", tmp_path / "empty", make("full/libpassed.so").parent]
    assert value_of(epsilon.lib_open("passed")) == 42


@pytest.mark.parametrize("paths", ["/usr/lib", None, [3], 7])
def test_search_paths_that_are_no_list_of_directories_are_refused(paths, monkeypatch):
    monkeypatch.setattr(epsilon, "library_search_paths", paths)
    with pytest.raises(epsilon.ForeignTypeError, match="library_search_paths"):
        epsilon.lib_open("libnone")


@linux_only
def test_the_highest_version_is_taken_by_number_and_not_by_letter(make, search_paths):
    for number, version in enumerate(["1", "9", "10.2", "10.1.7"]):
        search_paths[:] = [make(f"libversions.so.{version}", number).parent]
    assert value_of(epsilon.lib_open("versions")) == 2
    assert value_of(epsilon.lib_open("libversions.so")) == 2
    assert value_of(epsilon.lib_open("libversions.so.10.1")) == 3
    assert value_of(epsilon.lib_open("libversions.so.9")) == 1
    make("libversions.so", 99)
    assert value_of(epsilon.lib_open("versions")) == 99


@linux_only
def test_a_version_that_does_not_load_gives_way_to_a_lower_one(make, search_paths, tmp_path):
    search_paths.append(make("libbroken.so.2").parent)
    (tmp_path / "libbroken.so.3").write_bytes(b"")
    (tmp_path / "libbroken.so").write_text("INPUT(libbroken.so.3)")
    (tmp_path / "libbroken.so.old").write_text("no version")
    assert epsilon.lib_open("broken").path == str(tmp_path / "libbroken.so.2")


@linux_only
def test_a_real_library_is_preferred_to_the_system_s_linker_script():
    # With the development files there, libm.so is often a text file; without them there is no libm.so at all.
    assert epsilon.lib_open("m").bind("double cos(double x)")(0.0) == 1.0


@linux_only
def test_versioned_names_of_the_system_are_found_in_its_cache_and_its_directories(monkeypatch, make):
    path = make("standard/libstandard.so.2")
    monkeypatch.setattr(search, "_standard_directories", lambda: (str(path.parent),))
    assert epsilon.lib_open("standard").path == str(path)
    monkeypatch.setattr(search, "_ld_so_cache", lambda prefixes=("",): [str(make("cache/libstandard.so.1"))])
    assert "/cache/" in epsilon.lib_open("standard").path
    assert "/standard/" in epsilon.lib_open("libstandard.so.2").path


@linux_only
@pytest.mark.skipif(not os.path.exists(search._LD_SO_CACHE), reason="this system has no ld.so.cache")
def test_the_cache_is_read_as_ldconfig_prints_it():
    ldconfig = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    printed = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    plain = {line.split(" => ")[1] for line in printed if " => " in line and "hwcap" not in line}
    assert set(search._ld_so_cache()) == plain
    assert search._ld_so_cache(["libc.so"]) == [path for path in search._ld_so_cache() if "/libc.so" in path]


# --- Never the current directory ---


def test_a_bare_name_is_never_taken_from_the_current_directory(make, search_paths, monkeypatch, tmp_path):
    make("libhere.so")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EPSILON_LIBRARY_PATH", os.pathsep)
    search_paths.append("")
    for name in ("here", "libhere", "libhere.so"):
        failure(name)
    search_paths.append(".")
    assert value_of(epsilon.lib_open("here")) == 42


@linux_only
@pytest.mark.parametrize("variable", ["/nowhere:", ":/nowhere", ".", "/nowhere;."])
def test_nor_is_it_by_an_empty_field_in_ld_library_path(variable, make, tmp_path):
    make("libhere.so")
    shutil.copy(tmp_path / "libhere.so", tmp_path / "libhere.so.1")
    program = "import epsilon\ntry: epsilon.lib_open('here')\nexcept epsilon.LibraryLoadError as error: print(error)"
    variables = environment(LD_LIBRARY_PATH=variable)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    assert "libhere.so: not asked: by a relative LD_LIBRARY_PATH it means the current directory" in done.stdout


@linux_only
def test_versioned_names_in_ld_library_path_are_found(make, tmp_path):
    make("lib/liblinked.so.4", 4)
    program = "import epsilon\nprint(epsilon.lib_open('linked').path)"
    variables = environment(LD_LIBRARY_PATH=f"/nowhere:{tmp_path / 'lib'}")
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/lib/liblinked.so.4\n"


# --- What is said of a library that does not load ---


@linux_only
def test_every_place_is_named_with_its_reason(search_paths, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "libwanted.so").write_text("hello")
    search_paths += [tmp_path / "absent", tmp_path / "empty"]
    monkeypatch.setenv("EPSILON_LIBRARY_PATH", str(tmp_path / "text"))
    monkeypatch.setattr(search, "_standard_directories", lambda: ("/standard",))
    assert failure("wanted").split("\n")[1:] == [
        "tried, in this order:",
        f"  {tmp_path}/absent: not a directory that can be read: No such file or directory (library_search_paths)",
        f"  {tmp_path}/empty: no libwanted.so, wanted.so or libwanted.so.<version> (library_search_paths)",
        f"  {tmp_path}/text/libwanted.so: not a library but a text file (EPSILON_LIBRARY_PATH)",
        "  libwanted.so: absent (the system's search)",
        "  wanted.so: absent (the system's search)",
        "  /etc/ld.so.cache, /standard: no libwanted.so, wanted.so or libwanted.so.<version> (the system's search)",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"#!/bin/sh\n", "not a library but a text file"),
        (b"/* GNU ld script */\nGROUP ( /lib/libx.so.6 AS_NEEDED ( /lib/ld.so.2 ) )", "for /lib/libx.so.6 /lib/ld.so"),
        (b"INPUT(libncurses.so.6 -ltinfo)\n", "not a library but a linker script, which stands for libncurses.so.6"),
        (b"INPUT ( -lonly )", "stands for -lonly"),
        (b"!<arch>\n...", "a static archive (.a)"),
        (b"\xcf\xfa\xed\xfe" + bytes(40), "a library for macOS (Mach-O)"),
        (b"MZ" + bytes(100), "a library for Windows (PE)"),
        (b"\x7fELF" + bytes(3), "a damaged ELF file"),
        (bytes(100), "invalid ELF header"),
    ],
)
@linux_only
def test_a_file_that_is_no_library_is_called_what_it_is(content, reason, tmp_path):
    path = tmp_path / "libfile.so"
    path.write_bytes(content)
    assert reason in failure(path)


@linux_only
@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (18, 0x28, "of the wrong architecture: it is for ARM (64-bit), this Python for "),
        (18, 0x1234, "of the wrong architecture: it is for machine 4660 (64-bit)"),
        (16, 1, "not a library but an object file (.o)"),
        (16, 2, "not a library but a program"),
    ],
)
def test_a_library_for_another_machine_is_named_so(offset, value, reason, make):
    path = make("libother.so")
    image = bytearray(path.read_bytes())
    struct.pack_into("=H", image, offset, value)
    path.write_bytes(image)
    assert reason in failure(path)


@linux_only
def test_a_32_bit_library_is_of_the_wrong_architecture(make, search_paths):
    path = make("libnarrow.so")
    image = bytearray(path.read_bytes())
    image[4] = 1
    path.write_bytes(image)
    search_paths.append(path.parent)
    assert "(32-bit), this Python for" in failure("narrow")


@linux_only
def test_a_broken_link_a_directory_and_an_absent_file_are_told_apart(tmp_path):
    (tmp_path / "liblink.so").symlink_to("liblink.so.1")
    (tmp_path / "libdirectory.so").mkdir()
    assert "liblink.so: a symbolic link to liblink.so.1, which is absent" in failure(tmp_path / "liblink.so")
    assert "libdirectory.so: a directory" in failure(tmp_path / "libdirectory.so")
    assert "libabsent.so: absent" in failure(tmp_path / "libabsent.so")


@linux_only
def test_a_missing_dependency_is_named(tmp_path, search_paths):
    needed = compile_library(
        tmp_path / "libneeded.so.5", "int needed(void) { return VALUE; }", 1, "-Wl,-soname=libneeded.so.5"
    )
    source = "int needed(void); int needing(void) { return needed(); }"
    path = compile_library(tmp_path / "libneeding.so", source, 0, str(needed), f"-Wl,-rpath,{tmp_path}")
    content = needed.read_bytes()
    needed.unlink()
    search_paths.append(tmp_path)
    assert "libneeding.so: a missing dependency: libneeded.so.5 (library_search_paths)" in failure("needing")
    needed.write_text("text")
    assert f"libneeding.so: its dependency {needed} is not a library but a text file" in failure(path)
    needed.write_bytes(content)
    assert epsilon.lib_open("needing").bind("int needing(void)")() == 1


@linux_only
def test_a_library_that_lacks_a_function_is_refused_at_once_and_not_at_the_call(tmp_path):
    path = compile_library(tmp_path / "liblacking.so", "int lacked(void); int lacking(void) { return lacked(); }")
    assert "undefined symbol: lacked" in failure(path)
    assert epsilon.lib_open(path, os.RTLD_LAZY).address("lacking")


@linux_only
def test_the_nearest_libraries_are_named(make, search_paths):
    search_paths.append(make("libgarden.so.3").parent)
    assert "did you mean 'libgarden'" in failure("libgardem")
    assert "did you mean 'garden'" in failure("gardem")
    assert "did you mean 'libgarden.so.3'" in failure("libgarden.so.5")
    assert "did you mean 'libgarden.so.3'" in failure(search_paths[0] / "libgarden.so")


# --- Definitions ---


@pytest.fixture
def definitions(monkeypatch):
    monkeypatch.setattr(libraries, "_definitions", {})


def on_every_platform(names):
    return {"linux": names, "darwin": names, "windows": names}


def test_a_defined_library_is_tried_under_its_names_in_turn(definitions, make, search_paths):
    search_paths.append(make("libreal.so.2").parent)
    epsilon.define_library("ours", **on_every_platform(["libabsent.so.9", "libreal.so.2"]))
    library = epsilon.lib_open("ours")
    assert library.name == "ours" and library.path.endswith("libreal.so.2")
    epsilon.define_library("ours", **on_every_platform(make("another.so", 7)))
    assert value_of(epsilon.lib_open("ours")) == 7


def test_a_definition_may_name_itself_and_the_c_library(definitions, make, search_paths):
    search_paths.append(make("libself.so").parent)
    epsilon.define_library("self", **on_every_platform("self"))
    epsilon.define_library("posix", **on_every_platform("libc"))
    assert value_of(epsilon.lib_open("self")) == 42
    assert epsilon.lib_open("posix").address("strlen") == epsilon.lib_open("libc").address("strlen")


def test_without_a_name_for_this_platform_the_search_is_the_usual_one(definitions, make, search_paths, monkeypatch):
    search_paths.append(make("libelsewhere.so").parent)
    monkeypatch.setattr(libraries, "_PLATFORM", "plan9")
    epsilon.define_library("elsewhere", **on_every_platform("libnone.so"))
    assert value_of(epsilon.lib_open("elsewhere")) == 42


def test_a_defined_library_that_fails_tells_of_all_its_names(definitions):
    epsilon.define_library("twice", **on_every_platform(["/none/one.so", "/none/two.so"]))
    assert "/none/one.so: absent" in failure("twice") and "/none/two.so: absent" in failure("twice")
    assert "did you mean 'twice'?" in failure("twise")


@pytest.mark.parametrize(
    ("name", "names", "error"),
    [
        ("x", {}, epsilon.ForeignValueError),
        ("x", {"linux": []}, epsilon.ForeignValueError),
        ("a/b", {"linux": "libc"}, epsilon.ForeignValueError),
        ("", {"linux": "libc"}, epsilon.ForeignValueError),
        (None, {"linux": "libc"}, epsilon.ForeignTypeError),
        ("x", {"linux": 3}, epsilon.ForeignTypeError),
        ("x", {"linux": [None]}, epsilon.ForeignTypeError),
        ("x", {"linux": ["libc", ""]}, epsilon.ForeignValueError),
    ],
)
def test_a_wrong_definition_is_refused(definitions, name, names, error):
    with pytest.raises(error, match="library"):
        epsilon.define_library(name, **names)


# --- Symbols ---


def test_address_is_that_of_a_function_or_a_variable(make):
    library = epsilon.lib_open(make("libsymbols.so"))
    assert library.address("answer") != library.address("counter") > 0
    assert library.address("answer") == library.address("answer")


def test_names_are_tried_in_turn(make):
    library = epsilon.lib_open(make("libsymbols.so"))
    assert library.resolve(["absent", "answer"]) == ("answer", library.address("answer"))
    assert library.find(["absent", "answer"]) == library.resolve("answer")
    assert library.find("absent") is None
    assert library.bind(["absent", "answer"], "int", [])() == 42


def test_a_symbol_that_is_not_there_is_an_error_with_the_nearest_names(make):
    library = epsilon.lib_open(make("libsymbols.so"))
    with pytest.raises(epsilon.SymbolNotFoundError) as caught:
        library.address("answr")
    assert caught.value.function == "answr"
    assert str(caught.value).startswith(f"no symbol 'answr' in library {library.path!r}")
    if sys.platform == "linux":
        assert "did you mean 'answer'" in str(caught.value)
    with pytest.raises(epsilon.SymbolNotFoundError, match="no symbol 'absent' or 'missing' in"):
        library.resolve(["absent", "missing"])


@linux_only
def test_the_nearest_names_of_the_process_are_those_of_all_that_is_loaded():
    with pytest.raises(epsilon.SymbolNotFoundError, match="did you mean 'strlen'"):
        epsilon.lib_open(None).address("strlenn")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", epsilon.ForeignValueError),
        ("a\0b", epsilon.ForeignValueError),
        ("a\ud800", epsilon.ForeignValueError),
        (3, epsilon.ForeignTypeError),
        (None, epsilon.ForeignTypeError),
    ],
)
def test_what_is_no_symbol_is_refused(name, error):
    libc = epsilon.lib_open("libc")
    for ask in (libc.address, libc.__getitem__, lambda name: libc.find([name])):
        with pytest.raises(error, match="symbol"):
            ask(name)
    with pytest.raises(epsilon.ForeignValueError):
        libc.resolve([])


@linux_only
def test_exported_names_are_those_that_the_linker_sees(make):
    path = make("libsymbols.so")
    names = elf.exported_names(str(path))
    assert {"answer", "answer_to_everything", "call", "counter", "stay"} <= set(names)
    assert not {"hidden_answer", "write"} & set(names)
    for stripped in (["-Wl,--hash-style=sysv"], ["-Wl,--hash-style=gnu", "-s"]):
        other = compile_library(path.with_name("other.so"), SOURCE, 1, *stripped)
        assert {"answer", "call", "counter"} <= set(elf.exported_names(str(other)))


@linux_only
def test_damaged_symbol_tables_are_simply_not_known(make):
    path = make("libdamaged.so")
    image = path.read_bytes()
    for length in range(0, 4096, 61):
        path.write_bytes(image[:length])
        assert elf.exported_names(str(path)) == []
    for offset in range(16, 1024, 7):
        path.write_bytes(image[:offset] + b"\xff\xff\xff\xff" + image[offset + 4 :])
        assert isinstance(elf.exported_names(str(path)), list)
    assert elf.exported_names("/nowhere") == []


# --- Functions of a library ---


def test_subscription_gives_what_was_bound(make):
    library = epsilon.lib_open(make("libitems.so"))
    function = library.bind("int answer(void)")
    assert library["answer"] is function


def test_subscription_gives_what_is_registered(make):
    library = epsilon.lib_open(make("libitems.so"))
    epsilon.register_signature("answer_to_everything", "int", [])
    assert library["answer_to_everything"]() == 42
    assert library["answer_to_everything"] is library["answer_to_everything"]


def test_subscription_never_guesses(make):
    library = epsilon.lib_open(make("libitems.so"))
    with pytest.raises(epsilon.ForeignTypeError, match=r"no declaration for 'stay' of .*library\.bind\("):
        library["stay"]
    with pytest.raises(epsilon.SymbolNotFoundError, match="no symbol 'not_there'"):
        library["not_there"]
    for question in (lambda: "stay" in library, lambda: list(library)):
        with pytest.raises(TypeError):
            question()


def test_an_optional_symbol_that_is_missing_is_none(make):
    library = epsilon.lib_open(make("liboptional.so"))
    assert library.bind("int absent(void)", optional=True) is None
    assert library.bind("int answer(void)", optional=True)() == 42


def test_symbols_resolve_at_the_first_call(make):
    library = epsilon.lib_open(make("liblazy.so"))
    function = library.bind("int absent(void)")
    with pytest.raises(epsilon.SymbolNotFoundError, match="no symbol 'absent'"):
        function()


# --- Pickling and copying ---


def test_a_library_pickles_by_name_or_path(make, monkeypatch, tmp_path):
    path = make("libpickled.so")
    monkeypatch.chdir(tmp_path)
    for name in ("libc", None, path, "./libpickled.so"):
        library = epsilon.lib_open(name)
        pickled = pickle.dumps(library)
        monkeypatch.chdir("/")
        assert pickle.loads(pickled).path == copy.deepcopy(library).path == library.path
        monkeypatch.chdir(tmp_path)


# --- Closing ---


def in_child(program, path):
    """Run ``program``, which a mistake of ours could crash, in a process of its own, with ``path`` and two pipes."""
    prelude = """
        import os, sys, threading, epsilon
        from epsilon import loader
        path = sys.argv[1]
        inside, tell = os.pipe()
        wait, go = os.pipe()

        def is_loaded(path):
            return path in loader.process_files()

        def must_be_closed(function, *arguments):
            try:
                function(*arguments)
            except epsilon.ForeignError as error:
                assert "is closed" in str(error), error
            else:
                raise AssertionError("a call through a closed library went through")
        """
    command = [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(program), str(path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@linux_only
def test_a_closed_library_reports(make):
    path = make("libclosed.so")
    library = epsilon.lib_open(path)
    function, unresolved = library.bind("int answer(void)"), library.bind("int call(void *f, int x)")
    assert function() == 42 and not library.closed
    epsilon.lib_close(library)
    epsilon.lib_close(library)
    library.close()
    assert library.closed and repr(library) == f"<closed library {str(path)!r}>"
    for attempt in (
        function,
        lambda: unresolved(None, 1),
        lambda: library.address("answer"),
        lambda: library.find("absent"),
        library.__enter__,
    ):
        with pytest.raises(epsilon.ForeignError, match="is closed"):
            attempt()
    assert not is_loaded(path)


@linux_only
def test_with_closes_it_also_when_the_body_fails(make):
    path = make("libwith.so")
    with pytest.raises(ZeroDivisionError), epsilon.lib_open(path) as library:
        1 / 0  # noqa: B018
    assert library.closed and not is_loaded(path)


def test_only_a_library_can_be_closed():
    for what in ("libc", None, 3):
        with pytest.raises(epsilon.ForeignTypeError, match="Library"):
            epsilon.lib_close(what)


@linux_only
def test_a_file_opened_twice_is_loaded_once_and_stays_until_both_are_closed(make):
    path = make("libtwice.so")
    first, second = epsilon.lib_open(path), epsilon.lib_open(path)
    assert first.address("answer") == second.address("answer")
    function = second.bind("int answer(void)")
    first.close()
    assert function() == 42 and is_loaded(path)
    second.close()
    assert not is_loaded(path)


@linux_only
def test_a_library_that_is_dropped_stays_loaded_for_the_pointers_into_it(make):
    path = make("libdropped.so")
    epsilon.lib_open(path)
    assert is_loaded(path)


@linux_only
def test_closing_waits_for_the_threads_that_are_inside(make):
    in_child(
        """
        library = epsilon.lib_open(path)
        stay = library.bind("int stay(int tell, int wait)")
        results = []
        threads = [threading.Thread(target=lambda: results.append(stay(tell, wait))) for _ in range(2)]
        for thread in threads:
            thread.start()
            assert os.read(inside, 1) == b"x"
        library.close()
        assert library.closed and is_loaded(path)
        must_be_closed(stay, tell, wait)
        assert is_loaded(path)
        os.write(go, b"gg")
        for thread in threads:
            thread.join()
        assert results == [42, 42]
        assert not is_loaded(path)
        """,
        make("libinside.so"),
    )


@linux_only
def test_a_callback_may_close_the_library_that_calls_it(make):
    in_child(
        """
        library = epsilon.lib_open(path)
        call = library.bind("call", "int", ["pointer", "int"])

        def close(x):
            library.close()
            assert is_loaded(path)
            must_be_closed(call, None, 1)
            return x + 1

        with epsilon.make_callback(close, "int", ["int"]) as callback:
            assert call(callback, 41) == 42
        assert not is_loaded(path)
        """,
        make("libcalling.so"),
    )


@linux_only
def test_a_text_within_the_library_is_read_before_the_library_goes(make):
    in_child(
        """
        library = epsilon.lib_open(path)
        tell = library.bind("tell_after", "string", ["pointer"])
        with epsilon.make_callback(library.close, "void", []) as callback:
            assert tell(callback) == "a text within the library"
        assert not is_loaded(path)
        """,
        make("libtext.so"),
    )


@linux_only
def test_an_argument_may_close_the_library_while_it_is_converted(make):
    in_child(
        """
        class Closer:
            def __index__(self):
                library.close()
                return 41

        library = epsilon.lib_open(path)
        increment = library.bind("int increment(int x)")
        assert increment(1) == 2
        try:
            assert increment(Closer()) == 42
        except epsilon.ForeignError as error:
            assert "is closed" in str(error)
        must_be_closed(increment, 1)
        assert not is_loaded(path)
        """,
        make("libconverting.so"),
    )


@linux_only
def test_threads_open_close_and_resolve_at_once(make):
    path = make("libthreads.so")
    start = threading.Barrier(8)
    faults = []

    def work():
        try:
            start.wait()
            for _ in range(200):
                with epsilon.lib_open(path) as library:
                    assert library.bind("int answer(void)")() == 42
                    assert libraries.library_for("libc").address("strlen")
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and not is_loaded(path)


def test_a_thread_inside_a_library_survives_the_end_of_the_interpreter(make):
    in_child(
        """
        stay = epsilon.lib_open(path).bind("int stay(int tell, int wait)")
        threading.Thread(target=stay, args=(tell, wait), daemon=True).start()
        assert os.read(inside, 1) == b"x"
        """,
        make("libend.so"),
    )


# --- The libraries that bindings by name share ---


def test_bindings_by_name_share_one_open_library(make):
    path = make("libshared.so")
    library = libraries.library_for(path)
    assert libraries.library_for(path) is libraries.library_for(str(path)) is library
    assert libraries.library_for(library) is library
    assert libraries.library_for(None) is libraries.library_for(None)
    library.close()
    again = libraries.library_for(path)
    assert again is not library and value_of(again) == 42
    again.close()


def test_a_shared_library_is_searched_anew_when_the_directories_or_its_definition_change(
    make, search_paths, definitions, monkeypatch, tmp_path
):
    make("one/libmoved.so", 1)
    make("two/libmoved.so", 2)
    make("three/libmoved.so", 3)
    search_paths.append(tmp_path / "one")
    first = libraries.library_for("moved")
    function = first.bind("int answer(void)")
    search_paths.insert(0, tmp_path / "two")
    assert value_of(libraries.library_for("moved")) == 2
    epsilon.define_library("moved", **on_every_platform(tmp_path / "three" / "libmoved.so"))
    assert value_of(libraries.library_for("moved")) == 3
    assert function() == 1 and not first.closed


def test_a_failure_is_not_remembered(make, search_paths, tmp_path):
    search_paths.append(tmp_path)
    with pytest.raises(epsilon.LibraryLoadError):
        libraries.library_for("later")
    make("liblater.so")
    assert value_of(libraries.library_for("later")) == 42


def test_a_shared_relative_path_follows_the_current_directory(make, monkeypatch, tmp_path):
    make("one/libhere.so", 1)
    make("two/libhere.so", 2)
    for directory, value in (("one", 1), ("two", 2)):
        monkeypatch.chdir(tmp_path / directory)
        assert value_of(libraries.library_for("./libhere.so")) == value
