"""Where a library is looked for, in which order, and under which names."""

import os
import shutil
import subprocess
import sys

import pytest
from library_kit import environment, failure, linux_only, needs_cc, on_every_platform, value_of

import epsilon
from epsilon import libraries, search

pytestmark = needs_cc


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
    cached = [str(make("cache/libstandard.so.1"))]
    monkeypatch.setattr(search, "_ld_so_cache", lambda prefixes=("",): cached)
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


# --- Definitions ---


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
