"""Scopes, and several blocks of memory at once: what was made last ends first, also on an exception."""

import pytest

import epsilon
from epsilon import ForeignError, ForeignMemoryError, ForeignTypeError, scope


class Noted:
    def __init__(self, notes, name, error=None):
        self.notes, self.name, self.error = notes, name, error

    def __enter__(self):
        return self.name

    def __exit__(self, *exception):
        self.notes.append(self.name)
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, RuntimeError("the block's")])
def test_all_ends_with_the_scope_in_reverse_order(error):
    notes = []
    try:
        with scope() as s:
            libc = s.lib_open("libc")
            abs_ = libc.bind("int abs(int n)")
            p = s.alloc("int", count=2, initial=[1])
            f = s.callback(lambda x: x, "int", ["int"])
            a = s.enter(epsilon.arena())
            inside = a.alloc("int")
            assert s.enter(Noted(notes, "first")) == "first" and s.enter(Noted(notes, "last")) == "last"
            assert (abs_(-1), list(p), inside[0], len(repr(s)) > 0) == (1, [1, 0], 0, True)
            if error is not None:
                raise error
    except RuntimeError as raised:
        assert raised is error
    assert notes == ["last", "first"]
    assert libc.closed and f.closed and a.closed and s.closed
    with pytest.raises(ForeignMemoryError, match="it was freed at .*test_scopes.py"):
        p[0]
    with pytest.raises(ForeignError, match="is closed"):
        abs_(-1)


def test_what_has_ended_already_is_left_alone():
    with scope() as s:
        p, f, libc = s.alloc("int"), s.callback(abs, "int", ["int"]), s.lib_open("libc")
        epsilon.foreign_free(p)
        f.close()
        libc.close()
    s.close()


def test_an_ended_scope_makes_nothing():
    s = scope()
    s.close()
    for make in (
        lambda: s.alloc("int"),
        lambda: s.callback(abs, "int", ["int"]),
        lambda: s.lib_open("libc"),
        lambda: s.enter(epsilon.arena()),
    ):
        with pytest.raises(ForeignError, match="the scope has ended: it was closed at .*test_scopes.py"):
            make()


def test_all_is_ended_though_the_end_of_something_raises():
    notes = []
    with pytest.raises(ValueError, match="later") as caught, scope() as s:
        s.enter(Noted(notes, 1))
        s.enter(Noted(notes, 2, ValueError("later")))
        s.enter(Noted(notes, 3, KeyError("earlier")))
        p = s.alloc("int")
    assert notes == [3, 2, 1] and not p.alive
    assert isinstance(caught.value.__context__, KeyError)


def test_a_scope_enters_only_what_with_takes():
    with scope() as s, pytest.raises(ForeignTypeError, match="what with takes"):
        s.enter(5)


def test_the_mistakes_of_what_is_made_are_told():
    with scope() as s:
        with pytest.raises(ForeignTypeError, match="unknown type"):
            s.alloc("itn")
        with pytest.raises(epsilon.LibraryLoadError):
            s.lib_open("no_such_library_here")
        assert repr(s) == "<scope, 0 things>"
