"""The type stub says what is there: every public name and no other, with the parameters that the code has."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import epsilon
from epsilon import functions
from epsilon.options import OPTIONS

STUB = Path(epsilon.__file__).with_suffix(".pyi")
TREE = ast.parse(STUB.read_text(encoding="utf-8"))
FUNCTION_NODES = (ast.FunctionDef, ast.AsyncFunctionDef)


def a_struct_type() -> epsilon.StructType:
    return epsilon.define_c_struct("stub_sample", [("a", "int")])


#: an object of each class in the stub, to ask it for the attributes that its class promises
SAMPLES = {
    "CType": lambda: epsilon.ctype("int"),
    "_Converters": lambda: epsilon.convert_to_foreign,
    "_Batch": lambda: epsilon.foreign_batch([]),
    "BatchResult": lambda: epsilon.BatchResult(0),
    "Library": lambda: epsilon.lib_open("libc"),
    "Function": lambda: epsilon.lib_open("libc").bind("int abs(int n)"),
    "Signature": lambda: epsilon.Signature("int", ["int"]),
    "_Registry": lambda: epsilon.registry,
    "Callback": lambda: epsilon.make_callback(abs, "int", ["int"]),
    "StructType": a_struct_type,
    "ForeignMemory": lambda: epsilon.foreign_alloc("int"),
    "EnumType": lambda: epsilon.define_c_enum("stub_enum", ["a"]),
    "FlagsType": lambda: epsilon.define_c_flags("stub_flags", {"a": 1}),
    "Arena": epsilon.arena,
    "Pool": lambda: epsilon.Pool("int"),
    "Scope": epsilon.scope,
    "ForeignObject": lambda: epsilon.lib_open("libc").bind(
        "tmpfile", epsilon.define_foreign_class("stub_file", free="fclose"), []
    )(),
    "Handle": lambda: epsilon.object_handle(1),
}


def names_of(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of the stub gives to the module."""
    if isinstance(node, (*FUNCTION_NODES, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.AnnAssign):
        yield node.target.id
    elif isinstance(node, ast.ImportFrom):
        yield from (alias.asname for alias in node.names if alias.asname == alias.name)
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets)


def classes() -> list[ast.ClassDef]:
    return [node for node in TREE.body if isinstance(node, ast.ClassDef)]


def attributes(node: ast.ClassDef) -> set[str]:
    """The attributes and methods that a class of the stub promises."""
    return {name for statement in node.body for name in names_of(statement)}


def written(node: ast.FunctionDef, *, method: bool) -> list[str]:
    """The parameters of a function of the stub, ``self`` left out: ``*`` and ``**`` before those that collect."""
    arguments = node.args
    found = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][method:]
    if arguments.vararg:
        found.append(f"*{arguments.vararg.arg}")
    found += [argument.arg for argument in arguments.kwonlyargs]
    if arguments.kwarg:
        found.append(f"**{arguments.kwarg.arg}")
    return found


def real(function: object, *, method: bool) -> list[str]:
    """The parameters that a function has."""
    marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = list(inspect.signature(function).parameters.values())[method:]
    return [marks.get(parameter.kind, "") + parameter.name for parameter in parameters]


def test_names_are_the_public_ones():
    in_the_stub = {name for node in TREE.body for name in names_of(node) if not name.startswith("_")}
    assert in_the_stub == set(epsilon.__all__)


def test_public_names_are_there():
    assert [name for name in epsilon.__all__ if not hasattr(epsilon, name)] == []


#: what is written in C has no signature to read, and is left out here and below
FUNCTIONS = [
    node
    for node in TREE.body
    if isinstance(node, FUNCTION_NODES) and not inspect.isbuiltin(getattr(epsilon, node.name))
]


@pytest.mark.parametrize("node", FUNCTIONS, ids=lambda node: node.name)
def test_parameters_of_functions(node):
    assert written(node, method=False) == real(getattr(epsilon, node.name), method=False)


@pytest.mark.parametrize("node", classes(), ids=lambda node: node.name)
def test_classes_have_what_is_promised(node):
    sample = SAMPLES[node.name]()
    assert [name for name in attributes(node) if not hasattr(sample, name)] == []


def methods() -> Iterator[tuple[str, ast.FunctionDef, object]]:
    """The plain methods of the stub's classes: "Class.method", what is written, and the function."""
    for node in classes():
        kind = type(SAMPLES[node.name]())
        for statement in node.body:
            if isinstance(statement, FUNCTION_NODES) and not statement.decorator_list:
                function = getattr(kind, statement.name, None)
                if not statement.name.startswith("__") and inspect.isfunction(function):
                    yield f"{node.name}.{statement.name}", statement, function


@pytest.mark.parametrize(
    ("method", "function"), [pytest.param(method, function, id=name) for name, method, function in methods()]
)
def test_parameters_of_methods(method, function):
    assert written(method, method=True) == real(function, method=True)


def test_options_of_bind():
    library = next(node for node in classes() if node.name == "Library")
    overloads = [node for node in library.body if isinstance(node, FUNCTION_NODES) and node.name == "bind"]
    parameters = inspect.signature(functions.bind).parameters.values()
    named = {parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
    assert len(overloads) == 2
    for node in overloads:
        options = {argument.arg for argument in node.args.kwonlyargs}
        assert options == {*named, *OPTIONS}
        positional = [argument.arg for argument in node.args.args]
        assert [*positional, "**options"] == ["self", *real(epsilon.Library.bind, method=True)]
