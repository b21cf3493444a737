"""Libraries: their names, what is in them, and closing them under a call."""

import copy
import os
import pathlib
import pickle
import sys
import threading

import pytest
from library_kit import (
    compile_library,
    in_child,
    is_loaded,
    linux_only,
    needs_cc,
    on_every_platform,
    value_of,
)

import epsilon
from epsilon import libraries, loader

pytestmark = needs_cc


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
