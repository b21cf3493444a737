"""API §4: one Signature for each meaning, one trampoline for each Signature, and the names that a user gives them."""

from __future__ import annotations

import copy
import json
import pickle
import threading

import pytest
from clib import load_c, run_child

import epsilon
from epsilon import Signature, registry
from epsilon.signatures import Registry

SOURCE = """
int subtract(int a, int b) { return a - b; }
int product(int a, int b) { return a * b; }
int apply(int (*f)(int), int x) { return f(x); }
"""


@pytest.fixture(scope="module")
def c():
    return load_c(SOURCE)


@pytest.fixture
def name(request):
    """A word that no other test registers."""
    return f"registered-{request.node.name}"


# --- signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        ("unsigned-long", ["string"]),
        (":unsigned-long", (":string",)),
        ("unsigned long", ("const char *",)),
        ("long unsigned int", ["char const*"]),
        ("unsigned_long", [epsilon.ctype("string")]),
        (epsilon.ctype("unsigned-long"), [("string",)]),
        (("quote", "unsigned-long"), ("quote", ["string"])),
        ("unsigned-long", [("string", {"encoding": "utf-8"})]),
    ],
)
def test_equal_signatures_are_the_same_object_whatever_the_spelling(spelling):
    assert Signature(*spelling) is Signature("unsigned-long", ["string"])


def test_a_prototype_and_types_give_the_same_signature(c):
    expected = Signature("int", ["int", "int"])
    assert c.bind("int subtract(int a, int b)").signature is expected
    assert c.bind("signed int product(signed, int)").signature is expected
    assert epsilon.make_callback(max, "int", ["int", "int"]).signature is expected


def test_compound_types_are_interned_too():
    point = epsilon.define_c_struct("registry_point", [("x", "int"), ("y", "int")])
    assert Signature(point, [("pointer", point)]) is Signature("struct registry_point", ["struct registry_point *"])
    assert Signature("void", [("function", "int", ["int"])]) is Signature("void", ["int (*)(int)"])
    assert Signature("int", [("in", "int")]) is not Signature("int", [("pointer", "int")])
    assert Signature("int", [("in", "int")]) is not Signature("int", [("out", "int")])


def test_different_meanings_are_different_signatures():
    signatures = [
        Signature("int", ["int"]),
        Signature("unsigned-int", ["int"]),
        Signature("int", []),
        Signature("int", ["int", "int"]),
        Signature("int", ["int", "..."]),
        Signature("int", ["pointer"]),
        Signature("int", [("pointer", "int")]),
        Signature("int", ["string"]),
        Signature("int", [("string", {"encoding": "latin-1"})]),
    ]
    assert len(set(signatures)) == len(signatures)


def test_a_struct_defined_again_is_another_type():
    first = epsilon.define_c_struct("registry_again", [("x", "int")])
    before = Signature("void", [first])
    second = epsilon.define_c_struct("registry_again", [("x", "double")])
    assert Signature("void", [second]) is Signature("void", ["struct registry_again"]) is not before
    assert Signature("void", [first]) is before


def test_a_signature_has_result_parameters_variadic_and_abi():
    signature = Signature("int", ["string", "int", "..."])
    assert signature.result is epsilon.ctype("int")
    assert signature.parameters == (epsilon.ctype("string"), epsilon.ctype("int"))
    assert signature.variadic is True and Signature("int", []).variadic is False
    assert signature.abi == "default"
    assert Signature("int", ["string", "int"], variadic=True) is signature


def test_calling_conventions_that_are_the_same_here_are_one():
    plain = Signature("int", ["int"])
    assert Signature("int", ["int"], abi="cdecl") is Signature("int", ["int"], abi=":system") is plain
    with pytest.raises(epsilon.ForeignTypeError, match="'fastcall' does not exist on this platform; it has cdecl"):
        Signature("int", ["int"], abi="fastcall")
    with pytest.raises(epsilon.ForeignTypeError, match="unknown calling convention 5"):
        Signature("int", ["int"], abi=5)


def test_a_signature_shows_its_c_text():
    assert str(Signature("unsigned-long", ["string"])) == "unsigned long (const char *)"
    assert repr(Signature("void", [])) == "<Signature void (void)>"
    assert repr(Signature("pointer", ["int", "..."])) == "<Signature void * (int, ...)>"
    assert Signature("int", ["int", ("pointer", "int")]).prototype("f", ["a", None]) == "int f(int a, int *)"


def test_copies_and_pickles_of_a_signature_are_itself():
    point = epsilon.define_c_struct("registry_pickled", [("x", "int")])
    for signature in (
        Signature("unsigned-long", ["string", ("out", "int"), "..."]),
        Signature("int", [("function", "int", ["int", "pointer"])]),
        Signature(("function", "int", ["int"]), [("string", {"encoding": None})]),
    ):
        assert copy.copy(signature) is copy.deepcopy([signature])[0] is signature
        assert pickle.loads(pickle.dumps(signature)) is signature
    assert copy.deepcopy(Signature(point, [])) is Signature(point, [])


def test_a_pickled_signature_means_the_same_in_another_process():
    data = pickle.dumps(Signature("unsigned-long", ["string"])).hex()
    run_child(
        f"import pickle, epsilon; s = pickle.loads(bytes.fromhex({data!r})); "
        "assert s is epsilon.Signature('unsigned-long', ['string'])"
    )


@pytest.mark.parametrize(
    ("result", "parameters", "message"),
    [
        ("itn", [], "unknown type 'itn'; did you mean 'int'"),
        ("int", ["void"], "parameter 1 has type void, which has no values"),
        ("int", "int", "the parameter types are a list, not 'int'"),
        ("int", None, "the parameter types are a list, not None"),
        ("int", [5], "5 .int. is no type"),
        (("out", "int"), [], "a C function cannot return int"),
        (("array", "int", 3), [], r"a C function cannot return int \[3\]"),
        ("buffer", [], "a C function cannot return"),
        ("struct registry_unknown", [], "whose definition is not known"),
        ("int", ["struct registry_unknown"], "parameter 1 is struct registry_unknown, whose definition is not known"),
        ("int", ["...", "int"], "'...': a type is wanted here"),
    ],
)
def test_what_is_no_signature_is_named(result, parameters, message):
    with pytest.raises(epsilon.ForeignTypeError, match=message):
        Signature(result, parameters)


# --- trampolines ------------------------------------------------------------------------------------------------------


def test_a_signature_has_one_trampoline_which_all_its_functions_share(c):
    trampoline = epsilon.get_or_create_trampoline("int", ["int", "int"])
    assert trampoline is epsilon.get_or_create_trampoline(":int", ("signed int", "int"))
    assert trampoline is registry.trampoline("int", ["int", "int"])
    assert trampoline is Signature("int", ["int", "int"]).trampoline
    assert trampoline is c.bind("int subtract(int a, int b)").trampoline
    assert trampoline is c.bind("product", "int", ["int", "int"]).trampoline


def test_a_trampoline_is_called_with_an_address_and_the_arguments(c):
    trampoline = epsilon.get_or_create_trampoline("int", ["int", "int"])
    assert trampoline(c.address("subtract"), 5, 3) == 2
    assert trampoline(c.address("product"), 5, 3) == 15
    assert trampoline(c.bind("product", "int", ["int", "int"]), 5, 3) == 15
    assert trampoline(epsilon.make_callback(lambda a, b: a + b, "int", ["int", "int"]), 5, 3) == 8


def test_the_errors_of_a_trampoline_name_its_signature(c):
    trampoline = epsilon.get_or_create_trampoline("int", ["int", "int"])
    address = c.address("subtract")
    with pytest.raises(epsilon.ForeignTypeError, match=r"trampoline of int \(int, int\): parameter 2 .*'three'"):
        trampoline(address, 5, "three")
    for arguments in [(), (address,), (address, 5), (address, 5, 3, 1)]:
        with pytest.raises(epsilon.ForeignTypeError, match=r"trampoline of int \(int, int\): call it with an address"):
            trampoline(*arguments)
    with pytest.raises(epsilon.ForeignTypeError, match="by position"):
        trampoline(address, a=5, b=3)


@pytest.mark.parametrize("address", [0, None, "subtract", b"subtract", 1.5, object(), [], 2**70, -(2**70)])
def test_a_bad_address_is_an_error(c, address):
    """B9."""
    with pytest.raises(epsilon.ForeignTypeError, match="address"):
        epsilon.get_or_create_trampoline("int", ["int", "int"])(address, 5, 3)


def test_a_trampoline_respects_the_end_of_a_library():
    library = load_c(SOURCE)
    function = library.bind("int subtract(int a, int b)")
    trampoline = epsilon.get_or_create_trampoline("int", ["int", "int"])
    assert trampoline(function, 5, 3) == 2
    library.close()
    with pytest.raises(epsilon.ForeignError, match="closed"):
        trampoline(function, 5, 3)


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_registered_name_is_in_the_mapping(name):
    assert name not in registry and registry.get(name) is None
    with pytest.raises(KeyError):
        registry[name]
    signature = epsilon.register_signature(name, "unsigned-long", ["string"])
    assert signature is registry[name] is registry[":" + name] is Signature("unsigned-long", ["string"])
    assert name in registry and name in list(registry) and len(registry) == len(list(registry))
    assert dict(registry)[name] is signature
    assert "names" in repr(registry)


def test_a_registered_name_serves_wherever_types_do(c, name):
    registry.register(name, "int", ["int", "int"])
    assert c.bind("subtract", name)(5, 3) == 2
    assert c.bind(["minus_of_tomorrow", "subtract"], name)(5, 3) == 2
    assert epsilon.shared_call(("product", c), name, 5, 3) == 15
    assert epsilon.make_callback(lambda a, b: a + b, name)(5, 3) == 8
    assert epsilon.make_callback(lambda a, b: a + b, name).signature is registry[name]


def test_a_name_registered_as_the_symbol_is_enough():
    epsilon.register_signature("strlen", "unsigned-long", ["string"])
    libc = epsilon.lib_open("libc")
    assert libc.bind("strlen")("hello") == 5
    assert libc["strlen"]("hello") == 5
    assert epsilon.shared_call(("strlen", "libc"), "strlen", "hi") == 2


def test_options_go_with_a_registered_name(c, name):
    registry.register(name, "int", ["int", "int"])
    with pytest.raises(epsilon.ForeignError, match="gave -2, which is not nonnegative"):
        c.bind("subtract", name, check="nonnegative")(3, 5)


def test_registering_the_same_meaning_again_is_fine(name):
    first = registry.register(name, "unsigned-long", ["string"])
    assert registry.register(name, "unsigned long", ["const char *"]) is first


def test_registering_another_meaning_is_an_error_unless_it_replaces(name):
    first = registry.register(name, "int", ["int"])
    with pytest.raises(epsilon.ForeignTypeError, match=r"registered as int \(int\) already, and int \(void\) is"):
        registry.register(name, "int", [])
    assert registry[name] is first
    second = epsilon.register_signature(name, "int", [], replace=True)
    assert registry[name] is second is not first


@pytest.mark.parametrize(
    "word", ["int", ":int", "'int", "unsigned-long", "unsigned_long", "string", "pointer", "size_t", "off_t", "void"]
)
def test_a_type_word_cannot_be_registered(word):
    with pytest.raises(epsilon.ForeignTypeError, match="is a type and cannot name a signature"):
        registry.register(word, "int", [])


def test_a_struct_s_name_cannot_be_registered():
    epsilon.define_c_struct("registry_named", [("x", "int")])
    with pytest.raises(epsilon.ForeignTypeError, match="is a type and cannot name a signature"):
        registry.register("registry_named", "int", [])


@pytest.mark.parametrize("word", [None, 5, "", ":", b"bytes", ("a",)])
def test_a_name_is_a_word(word):
    with pytest.raises(epsilon.ForeignTypeError, match="a signature's name is a word, not"):
        registry.register(word, "int", [])


def test_a_registry_has_names_of_its_own(name):
    own = Registry()
    own.register(name, "int", [])
    assert list(own) == [name] and name not in registry


# --- statistics -------------------------------------------------------------------------------------------------------


def test_stats_count_trampolines_hits_misses_calls_and_callbacks():
    run_child(
        """
import epsilon
from epsilon import Signature, registry
before = registry.stats()
libc = epsilon.lib_open("libc")
abs_ = libc.bind("abs", "int", ["int"])
after = registry.stats()
assert after["trampolines"] == before["trampolines"] + 1
assert after["misses"] == before["misses"] + 1
labs = libc.bind("toupper", "int", ["int"])
again = registry.stats()
assert again["trampolines"] == after["trampolines"]
assert (again["hits"], again["misses"]) == (after["hits"] + 1, after["misses"])
signature = Signature("int", ["int"])
for n in range(5):
    abs_(-n)
labs(97)
with epsilon.make_callback(lambda x: x, "int", ["int"]) as callback:
    signature.trampoline(callback, 1)
    callback_strategy = callback.strategy
found = registry.stats()["signatures"][signature]
assert found == {
    "calls": 7, "callbacks": 1, "strategy": abs_.strategy, "callback_strategy": callback_strategy
}, found
assert signature in registry.signatures()
"""
    )


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_names_are_saved_and_loaded(tmp_path):
    file = tmp_path / "signatures.json"
    own, other = Registry(), Registry()
    epsilon.define_c_struct("registry_saved", [("x", "int")])
    own.register("plain", "unsigned-long", ["string", "size", "double-complex", "bool"])
    own.register("nothing", "void", [])
    own.register("variadic", "int", ["string", "..."])
    own.register("pointers", "pointer", [("pointer", ("pointer", "int")), "const void *", "char *", "const int *"])
    own.register("outputs", "int", [("in", "int"), ("out", "double"), ("inout", "string")])
    own.register("buffers", "int", ["buffer", ("buffer", "writable")])
    own.register("functions", ("function", "int", ["int"]), [("function", "void", ["pointer", "..."])])
    own.register("structs", ("struct", "registry_saved"), [("pointer", ("struct", "registry_saved"))])
    own.register("texts", ("string", {"encoding": None}), [("string", {"encoding": "latin-1", "errors": "replace"})])
    own.register("arrays", "int", [("array", "int"), ("array", "double", 3)])
    own.register("system", "off_t", ["mode_t", "time_t"])
    own.save(file)
    assert json.loads(file.read_text())["epsilon-registry"] == 1
    other.load(file)
    assert dict(other) == dict(own)


def test_a_saved_registry_serves_another_process(tmp_path):
    file = tmp_path / "signatures.json"
    own = Registry()
    own.register("length", "unsigned-long", ["string"])
    own.save(str(file))
    assert (
        run_child(
            "import epsilon, sys; epsilon.registry.load(sys.argv[1]); "
            "print(epsilon.shared_call(('strlen', 'libc'), 'length', 'hello'))",
            str(file),
        )
        == "5\n"
    )


def test_loading_respects_the_names_that_are_there(tmp_path):
    file = tmp_path / "signatures.json"
    saved, own = Registry(), Registry()
    saved.register("length", "unsigned-long", ["string"])
    saved.save(file)
    own.register("length", "int", [])
    with pytest.raises(epsilon.ForeignTypeError, match="'length' is registered as int"):
        own.load(file)
    assert own["length"] is Signature("int", [])
    own.load(file, replace=True)
    assert own["length"] is Signature("unsigned-long", ["string"])


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"epsilon-registry": 2}',
        '"x"',
        "null",
        '{"epsilon-registry": 1}',
        '{"epsilon-registry": 1, "signatures": []}',
        '{"epsilon-registry": 1, "signatures": {"a": {}}}',
        '{"epsilon-registry": 1, "signatures": {"a": 5}}',
        '{"epsilon-registry": 1, "signatures": {"a": {"result": "itn", "parameters": [], "abi": "default"}}}',
        '{"epsilon-registry": 1, "signatures": {"a": {"result": "int", "parameters": 5, "abi": "default"}}}',
        "not JSON at all",
    ],
)
def test_a_file_that_is_no_registry_is_refused(tmp_path, text):
    file = tmp_path / "other.json"
    file.write_text(text)
    own = Registry()
    with pytest.raises(epsilon.ForeignTypeError):
        own.load(file)
    assert not own


# --- threads ----------------------------------------------------------------------------------------------------------


def in_threads(count, body):
    """Run ``body(number)`` in threads that start together; its results."""
    barrier, results, failures = threading.Barrier(count), [None] * count, []

    def run(number):
        try:
            barrier.wait()
            results[number] = body(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return results


def test_threads_that_meet_at_a_new_signature_get_the_same_one():
    spellings = [("int", "unsigned long"), (":int", "unsigned-long"), ("signed int", "long unsigned")]
    for length in range(20, 40):

        def make(number, length=length):
            result, parameter = spellings[number % len(spellings)]
            signature = Signature(result, [parameter] * length)
            return signature, signature.trampoline

        found = in_threads(8, make)
        assert len(set(found)) == 1, "one signature, one trampoline"


def test_threads_register_and_read_at_once():
    own = Registry()

    def work(number):
        for index in range(100):
            own.register(f"name-{index % 10}", "int", ["int"] * (index % 10))
            own.register(f"name-{number}-{index}", "int", [])
            list(own), len(own), own.stats(), own.signatures(), repr(own)
        return True

    assert all(in_threads(8, work))
    assert len(own) == 10 + 8 * 100
    assert all(len(own[f"name-{index}"].parameters) == index for index in range(10))
