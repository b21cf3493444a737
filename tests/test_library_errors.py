"""What is said of a library that does not load: each place with its reason, and the nearest names."""

import os
import struct

import pytest
from library_kit import SOURCE, compile_library, failure, linux_only, needs_cc

import epsilon
from epsilon import elf, search

pytestmark = needs_cc


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
