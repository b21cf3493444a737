"""Batch without the shim: the arguments of all calls converted first, then the calls in order, each as it comes."""

from __future__ import annotations

from epsilon._abi.function import Function
from epsilon._abi.guarded import Guarded, Record, explain, hooks, land

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


class Batch:
    """Several foreign calls: batch(*arguments) → the list of all results.

    ``shape`` has of each call a tuple with, for each argument, None (it is given), the index of the call whose result
    it is, or (value,); ``callables`` has a callable, None (it is given, before the arguments), or the index of the
    call that has the same.
    """

    __slots__ = ("__weakref__", "_callables", "_known", "_shape", "_wanted")

    def __init__(self, shape: tuple, callables: tuple):
        self._shape, self._callables = shape, callables
        self._wanted = sum(each is None for part in (callables, *shape) for each in part)
        #: the callables that are known to fit the shape
        self._known: tuple | None = None

    @property
    def compiled(self) -> bool:
        """Whether C that was compiled for this shape makes the calls: never, here."""
        return False

    def __repr__(self) -> str:
        return f"<batch of {len(self._shape)} calls>"

    def __call__(self, /, *arguments: Any, **keywords: Any) -> list:
        if len(arguments) != self._wanted or keywords:
            given = len(arguments) + len(keywords)
            raise hooks.type_error(
                f"a batch of {len(self._shape)} calls: {self._wanted} arguments wanted, by position; {given} given"
            )
        rest = iter(arguments)
        callables: list[Any] = []
        passed: list[list] = []
        for place, sources in enumerate(self._shape):
            called = self._callables[place]
            callables.append(next(rest) if called is None else callables[called] if type(called) is int else called)
            passed.append([_passed(source, rest) for source in sources])
        chosen = tuple(callables)
        if self._known is None or any(map(_differ, self._known, chosen)):
            hooks.batch_plan(chosen, self._shape, self._callables)
            self._known = chosen
        return self._run(chosen, passed)

    def _run(self, callables: tuple, passed: list[list]) -> list:
        calls: list[Any] = []
        results: list[Any] = []
        place = 0
        try:
            for called in callables:
                place = len(calls)
                kind = _Prepared if _is_ours(called) else _Ordinary
                calls.append(kind(called, self._shape[place]))
                calls[place].prepare(passed[place])
            for call in calls:
                place = len(results)
                results.append(call.make(results))
            return results
        except BaseException as error:
            hooks.batch_failed(callables, place, results, error)
            raise
        finally:
            for call in calls:
                call.end()


def _passed(source: Any, given: Any) -> Any:
    if source is None:
        return next(given)
    return source[0] if isinstance(source, tuple) else None


def _differ(known: Any, given: Any) -> bool:
    return known is not given


def _is_ours(called: Any) -> bool:
    """Whether its arguments can be converted before their turn; else the call is an ordinary one."""
    if type(called) is not Function:
        return False
    trampoline = called._trampoline
    return not (trampoline.counted or trampoline.variadic or called._retry)


class _Ordinary:
    """A call that is made as any other, in its turn."""

    __slots__ = ("called", "passed", "sources")

    def __init__(self, called: Any, sources: tuple):
        self.called, self.sources = called, sources

    def prepare(self, passed: list) -> None:
        self.passed = passed

    def make(self, results: list) -> Any:
        values = zip(self.passed, self.sources, strict=True)
        return self.called(*[results[source] if isinstance(source, int) else value for value, source in values])

    def end(self) -> None:
        self.passed = []


class _Prepared:
    """A call whose arguments are converted before the first call of the batch, but those that earlier calls give."""

    __slots__ = ("entered", "function", "holes", "kept", "outputs", "passed", "record", "sources", "values")

    def __init__(self, function: Function, sources: tuple):
        self.function, self.sources, self.record = function, sources, Record()
        self.values: list[Any] = []
        self.kept: list[Any] = []
        self.outputs: list[Any] = []
        #: where results go: the parameter's index, the first of its values, the call it comes from
        self.holes: list[tuple[int, int, int]] = []
        self.passed: list[Any] = []
        self.entered = False

    def prepare(self, passed: list) -> None:
        function, trampoline = self.function, self.function._trampoline
        function._code()
        cell = function._cell
        if cell is not None:
            if not cell.enter(self.record):
                function._closed()
            self.entered = True
        self.passed = passed
        place = taken = 0
        try:
            for place, parameter in enumerate(trampoline.parameters):
                source = self.sources[taken] if parameter.takes else None
                if isinstance(source, int):
                    self.holes.append((place, len(self.values), source))
                    self.values.extend([None] * len(parameter.types))
                else:
                    self.values.extend(self._put(parameter, passed[taken] if parameter.takes else None))
                taken += parameter.takes
        except BaseException as error:
            explain(function._declaration, place, error)
            raise
        trampoline.board(tuple(passed), self.kept, self.record, function._declaration)

    def _put(self, parameter: Any, value: Any) -> list:
        made = parameter.converter.put(value, self.kept)
        if parameter.target is not None:
            self.outputs.append((parameter.target, made))
        if parameter.add is None:
            return [made]
        values: list[Any] = []
        self.kept.append(made)  # what is added may be a cast, which does not hold it
        parameter.add(values, made)
        return values

    def _fill(self, results: list) -> None:
        """Put the results of earlier calls where they go."""
        trampoline, declaration = self.function._trampoline, self.function._declaration
        before = len(self.kept)
        taking = [place for place, parameter in enumerate(trampoline.parameters) if parameter.takes]
        for place, first, source in self.holes:
            parameter = trampoline.parameters[place]
            self.passed[taking.index(place)] = results[source]
            try:
                made = self._put(parameter, results[source])
            except BaseException as error:
                explain(declaration, place, error)
                raise
            self.values[first : first + len(made)] = made
        late, self.kept[before:] = self.kept[before:], []
        for memory in late:
            trampoline.board(tuple(self.passed), [memory], self.record, declaration)
            self.kept.append(memory)

    def make(self, results: list) -> Any:
        function, trampoline, declaration = self.function, self.function._trampoline, self.function._declaration
        if self.holes:
            self._fill(results)
        arguments = tuple(self.passed)
        if trampoline.gives:
            hooks.depart(tuple(self.kept))
        raw = trampoline.jump(function._pointer, self.values, self.record, function._errno)
        value = trampoline.land(raw, self.record, self.outputs, declaration)
        passes = not function._options or function._passes(raw, value)
        value = trampoline.with_outputs(value, self.outputs, declaration, arguments, not passes)
        return value if passes or not function._raises else function._failed(value, arguments, self.record)

    def end(self) -> None:
        """What the arguments lent to C is theirs again."""
        for memory in self.kept:
            if isinstance(memory, Guarded):
                land(memory, self.record)
        self.values.clear()
        self.kept.clear()
        self.passed = []
        if self.entered:
            self.entered = False
            self.function._cell.leave(self.record)
