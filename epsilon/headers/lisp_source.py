"""Reads what a Hy file declares: its forms, as Hy's reader gives them and the macros' own patterns read them.

Nothing is run and no macro is expanded: what a macro of the user's own makes is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import hy
from funcparserlib.parser import NoParseError, many
from hy.model_patterns import FORM, whole
from hy.models import Expression, Keyword, List, String, Symbol
from hy.models import Sequence as Models

from epsilon import form_reading, form_structs, form_types, forms
from epsilon.bodies import Body
from epsilon.enums import read_enumeration
from epsilon.errors import ForeignError
from epsilon.form_types import FormError, c_name, is_dotted, is_list, shown, unquoted
from epsilon.headers.sources import (
    Broken,
    Callback,
    Enum,
    Function,
    Name,
    Record,
    Source,
    Spot,
    Variable,
    passed,
)
from epsilon.layout import Member, rules_of


def read(text: str, filename: str) -> list[Any]:
    """What the Hy text declares: the namedtuples of ``sources``, in its order."""
    kept = dict(form_types.noted)
    form_types.noted.clear()
    try:
        reader = LispReader()
        try:
            for model in hy.read_many(text, filename=filename):
                reader.walk(model)
        except SyntaxError as error:
            spot = Spot(error.lineno or 1, error.offset or 1)
            reader.found.append(Broken("", spot, f"cannot be read: {error.msg}"))
        return reader.found
    finally:
        form_types.noted.clear()
        form_types.noted.update(kept)


def spot(model: Any, default: Any = None) -> Spot:
    """Where a model stands."""
    line = getattr(model, "start_line", None)
    if line is None:
        return Spot(1, 1) if default is None else spot(default)
    return Spot(line, model.start_column)


def expression(form: Any) -> Any:
    """A type's form as ``Source.resolve`` takes it: words, tuples, and a ``Name`` for a variable."""
    if isinstance(form, Symbol):
        return Name(c_name(form))
    if isinstance(form, Expression):
        if form and form[0] == form_types._ENUMERATION:
            return Name(c_name(form[1]))
        return Name(c_name(form[-1])) if is_dotted(form) else Name(shown(form))
    if isinstance(form, Keyword):
        return form.name
    if isinstance(form, dict):
        return {name: _plain(value) for name, value in form.items()}
    if isinstance(form, (tuple, list, Models)):
        return tuple(map(expression, form))
    return _plain(form)


def _plain(value: Any) -> Any:
    """The Python value of a literal; a ``Name`` for any other form."""
    bare = unquoted(value)
    if isinstance(bare, String):
        return str(bare)
    if isinstance(bare, hy.models.Integer):
        return int(bare)
    if isinstance(bare, Keyword):
        return bare.name
    if isinstance(bare, Symbol) and str(bare) in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[str(bare)]
    return Name(shown(bare)) if isinstance(bare, hy.models.Object) else bare


def headers_of(options: dict[str, Any]) -> tuple[str, ...]:
    """The headers that the option ``:header`` of a form names."""
    given = unquoted(options.get("header"))
    items = given if isinstance(given, (List, Expression, hy.models.Tuple)) else [given]
    return tuple(str(each) for each in items if isinstance(each, String))


class LispReader(Source):
    """Goes through the forms of one file."""

    def walk(self, model: Any) -> None:
        """Read a form and the forms in it, in their order."""
        if isinstance(model, Expression) and model:
            head = model[0][-1] if is_dotted(model[0]) else model[0]
            name = str(head) if isinstance(head, Symbol) else ""
            if name in ("quote", "quasiquote"):
                return
            read = _FORMS.get(name)
            if read is not None:
                self.read(name, read, model)
            elif name == "setv":
                self.assigned(model)
            elif name:
                self.call(c_name(name), model)
        if isinstance(model, Models):
            for each in model:
                self.walk(each)

    def read(self, macro: str, reader: Callable, model: Expression) -> None:
        """Read one form; what is wrong in it is found, too."""
        name = shown(unquoted(model[1])) if len(model) > 1 else macro
        try:
            reader(self, macro, model)
        except NoParseError as error:
            message, wrong = form_reading.mismatch(model[1:], error)
            self.found.append(Broken(name, spot(wrong, model), f"{macro}: {message}"))
        except FormError as error:
            self.found.append(Broken(name, spot(error.model, model), f"{macro}: {error}"))
        except ForeignError as error:
            self.found.append(Broken(name, spot(model), f"{macro}: {error}"))

    # --- functions ---

    def function(self, macro: str, model: Expression) -> None:
        name, symbols, library, result, parameters, options = _parse(
            model, forms.NAME, forms.SYMBOLS, forms.LIBRARY, forms.RESULT, forms.PARAMETERS, forms.FUNCTION_OPTIONS
        )
        types = ["..." if each.type is None else expression(each.type.form) for each in parameters]
        names = [each.name for each in parameters if each.type is not None]
        spots = {index: spot(each.model, model) for index, each in enumerate(parameters)}
        spots["result"] = spot(model[4], model)
        found = Function(
            str(name), tuple(map(str, symbols)), _library(library),
            self.function_type(expression(result.form), types, names), tuple(names), spot(model), spots,
            headers_of(options),
        )  # fmt: skip
        self.add_function(found, c_name(name))

    def shared_call(self, macro: str, model: Expression) -> None:
        function, signature, arguments = _parse(model, forms.CALLED, many(FORM))
        if not isinstance(function, forms.Named):
            return  # a registered name, or a symbol that only run time knows
        result, (types, variadic) = signature
        listed = [expression(each.form) for each in types] + ["..."] * variadic
        found = Function(
            str(function.symbol), (str(function.symbol),), _library(function.library),
            self.function_type(expression(result.form), listed), (), spot(model),
            {"result": spot(model[2], model)}, (),
        )  # fmt: skip
        self.found.append(found)
        self.passes(found, arguments)

    def declared(self, macro: str, model: Expression) -> None:
        text, options = _parse(model, forms.C_BLOCK, forms.BLOCK_OPTIONS)
        if isinstance(text, String):
            first = spot(model[1], model)
            self.read_block(
                str(text), _library(options["library"]),
                lambda line, column: Spot(first.line + line, column + 1 + (0 if line else first.column)),
                headers_of(options),
            )  # fmt: skip

    def variable(self, macro: str, model: Expression) -> None:
        name, symbol, library, type = _parse(model, forms.NAME, forms.SYMBOL, forms.LIBRARY, forms.TYPE)
        self.found.append(
            Variable(str(name), str(symbol), _library(library), self.resolve(expression(type.form)), spot(model))
        )

    def signature(self, macro: str, model: Expression) -> None:
        name, signature, _ = _parse(model, forms.REGISTERED, forms.SIGNATURE, forms.options("replace", "abi"))
        if isinstance(name, str) and len(signature) == 2:
            self.signatures[name] = self.function_type(*map(expression, signature))

    # --- callbacks ---

    def callback(self, macro: str, model: Expression) -> None:
        name, result, parameters, _, _ = _parse(
            model, forms.NAME, forms.RESULT, forms.PARAMETER_LIST, forms.CALLBACK_OPTIONS, many(FORM)
        )
        types = [expression(each.type.form) for each in parameters]
        names = [each.name for each in parameters]
        spots = {index: spot(each.model, model) for index, each in enumerate(parameters)}
        spots["result"] = spot(model[2], model)
        self.add_callback(
            str(name), self.function_type(expression(result.form), types, names), spot(model), spots
        )

    def with_callback(self, macro: str, model: Expression) -> None:
        bindings = forms.bindings(
            "(NAME FUNCTION RESULT (TYPE …))",
            forms.NAME, forms.any_form("a function"), forms.SIGNATURE, forms.CALLBACK_OPTIONS,
        )  # fmt: skip
        found, _ = _parse(model, bindings, many(FORM))
        for name, _, signature, _ in found:
            if len(signature) == 2:
                self.add_callback(str(name), self.function_type(*map(expression, signature)), spot(model[1]), {})

    def assigned(self, model: Expression) -> None:
        """``(setv name (make-callback …))``."""
        for name, value in zip(model[1::2], model[2::2], strict=False):
            if isinstance(value, Expression) and value and value[0] == Symbol("make-callback") and len(value) > 2:
                self.read("make-callback", lambda reader, macro, form: reader.made(str(name), form), value)  # noqa: B023

    def made(self, name: str, model: Expression) -> None:
        _, signature, _ = _parse(model, forms.any_form("a function"), forms.SIGNATURE, forms.CALLBACK_OPTIONS)
        if len(signature) == 2:
            self.add_callback(name, self.function_type(*map(expression, signature)), spot(model), {})

    def add_callback(self, name: str, type: Any, where: Spot, spots: dict) -> None:
        found = self.callbacks[c_name(name)] = Callback(name, type, where, spots, [])
        self.found.append(found)

    def call(self, name: str, model: Expression) -> None:
        """Note which callbacks a call passes, and where."""
        function = self.functions.get(name)
        if function is not None:
            self.passes(function, model[1:])

    def passes(self, function: Function, arguments: Sequence[Any]) -> None:
        places = iter(passed(function.type))
        items = iter(arguments)
        for item in items:
            if isinstance(item, Keyword):
                known = c_name(item.name)
                index = function.parameters.index(known) if known in function.parameters else None
                item = next(items, None)
            else:
                index = next(places, None)
            callback = self.callbacks.get(c_name(item)) if isinstance(item, Symbol) else None
            if callback is not None and index is not None:
                callback.uses.append((function, index))

    # --- types ---

    def record(self, macro: str, model: Expression) -> None:
        kind = "union" if macro == "define-c-union" else "struct"
        (name, _, _, _), options = _parse(model, forms.definition(kind), forms.STRUCT_OPTIONS)
        items = [form_structs.with_itself(item, name, kind) for item in model[2:] if is_list(item)]
        members = [form_structs.member_of(item) for item in items]
        tag = c_name(name)
        spots = {each.name: spot(each.model, model) for each in members if each.name is not None}
        own = self.struct(kind, tag)
        reason, found = "", None
        try:
            found = self.lay_out(kind, tag, members, options)
        except _AtRunTime as error:
            reason = str(error)
        self.named[tag] = found or own
        self.found.append(Record(str(name), found, spot(model), spots, headers_of(options), reason))

    def lay_out(self, kind: str, tag: str, members: list, options: dict) -> Any:
        read = []
        for each in members:
            type = self.resolve(expression(each.type.form))
            given = {name: _known(value, f"{each.symbol} {name}") for name, value in each.options.items()}
            if _is_unknown(type):
                raise _AtRunTime(f"the type of {each.symbol}")
            read.append(Member(each.name, type, None)._replace(**given))
        rules = rules_of(f"{kind} {tag}", *(_known(options.get(name), name) for name in ("packed", "align")))
        return self.define(Body(kind, tag, read, *rules))

    def auto(self, macro: str, model: Expression) -> None:
        name, (text, options) = _parse(model, forms.NAME, forms.AUTO_DEFINITION)
        tag = c_name(name)
        if not isinstance(text, String) or "{" not in text:
            return  # the header itself says it
        found = self.read_record(
            str(text), tag, *(_known(options.get(each), each) for each in ("packed", "align"))
        )
        self.named[tag] = found
        self.found.append(Record(str(name), found, spot(model), {}, headers_of(options), ""))

    def type(self, macro: str, model: Expression) -> None:
        _parse(model, forms.TYPE_NAME, many(FORM))
        name = c_name(unquoted(model[1]))
        if len(model) > 2:
            self.named[name] = self.resolve(expression(form_types.read_value_type(model[2]).form))
        else:
            self.named[name] = self.struct("struct", name)

    def foreign_type(self, macro: str, model: Expression) -> None:
        name, (base, _) = _parse(model, forms.TYPE_NAME, forms.FOREIGN_TYPE)
        self.named[c_name(name)] = self.resolve(expression(base))

    def enum(self, macro: str, model: Expression) -> None:
        flags = macro == "define-c-flags"
        name, (constants, kind) = _parse(model, forms.TYPE_NAME, forms.FLAGS if flags else forms.CONSTANTS)
        pairs, spots, following = [], {}, 0
        for index, entry in enumerate(constants):
            word, *value = entry if isinstance(entry, hy.models.Tuple) else [entry]
            number = _plain(value[0]) if value else following
            if not isinstance(number, int):
                following = None
                continue
            if number is not None:
                pairs.append((str(word), number))
                spots[str(word)] = spot(model[2 + index], model)
                following = number + 1
        base = None if kind is None else self.resolve(expression(kind))
        if pairs:
            self.named[c_name(name)] = read_enumeration(flags, c_name(name), pairs, base)
        self.found.append(Enum(str(name), pairs, base, spot(model), spots))


class _AtRunTime(Exception):
    """What a layout rests on is known at run time only."""


def _known(value: Any, what: str) -> Any:
    found = _plain(value)
    if isinstance(found, Name):
        raise _AtRunTime(f"the value of {what}")
    return found


def _is_unknown(found: Any) -> bool:
    while getattr(found, "target", None) is not None and not found.is_pointer:
        found = found.target
    return found.only_run_time


def _parse(model: Expression, *patterns: Any) -> Any:
    return whole(list(patterns)).parse(model[1:])


def _library(model: Any) -> str:
    """What a file calls a library: its name, or the form that gives it."""
    bare = unquoted(model)
    return str(bare) if isinstance(bare, (String, Symbol)) else shown(bare)


_FORMS: dict[str, Callable] = {
    "defshared": LispReader.function,
    "defshared-with-errno": LispReader.function,
    "shared-call": LispReader.shared_call,
    "declare-c": LispReader.declared,
    "defcvar": LispReader.variable,
    "register-signature": LispReader.signature,
    "defcallback": LispReader.callback,
    "with-callback": LispReader.with_callback,
    "define-c-struct": LispReader.record,
    "define-c-union": LispReader.record,
    "define-c-struct-auto": LispReader.auto,
    "define-c-type": LispReader.type,
    "define-foreign-type": LispReader.foreign_type,
    "define-c-enum": LispReader.enum,
    "define-c-flags": LispReader.enum,
}
