"""What the forms of ``macros.hy`` are made of: patterns for their fields, and the C declarations that they mean.

Each idea has a file of its own; this is all of them that ``macros.hy`` uses.  It runs where a form is expanded, never
at run time.
"""

from __future__ import annotations

from epsilon.form_fields import (
    CHECKED_RESULT,
    CONVERTED,
    COUNT,
    DEFINED_LIBRARY,
    DIRECTION,
    DTYPE,
    ELEMENT,
    LIBRARY,
    MEMBER,
    NAME,
    PLATFORMS,
    REGISTERED,
    RESULT,
    SHAPE,
    STRUCT,
    SYMBOL,
    SYMBOLS,
    TYPE,
    TYPE_NAME,
    batch,
)
from epsilon.form_functions import (
    BODY_OPTIONS,
    CALLBACK_OPTIONS,
    CALLED,
    CALLED_ASYNC,
    FUNCTION_OPTIONS,
    NATIVE_OPTIONS,
    PARAMETER_LIST,
    PARAMETERS,
    SIGNATURE,
    Named,
    declaration,
    default_check,
    held,
    inputs,
    nameless,
    native_body,
    prototype,
)
from epsilon.form_headers import BLOCK_OPTIONS, C_BLOCK, HEADER_OPTIONS, HEADERS
from epsilon.form_options import options
from epsilon.form_reading import any_form, bindings, keywords, read, value
from epsilon.form_structs import AUTO_DEFINITION, CONSTANTS, FLAGS, FOREIGN_TYPE, STRUCT_OPTIONS, definition
from epsilon.form_types import c_name

__all__ = [
    "any_form", "AUTO_DEFINITION", "batch", "bindings", "BLOCK_OPTIONS", "BODY_OPTIONS", "C_BLOCK", "c_name",
    "CALLBACK_OPTIONS", "CALLED", "CALLED_ASYNC", "CHECKED_RESULT", "CONSTANTS", "CONVERTED", "COUNT", "declaration",
    "default_check", "DEFINED_LIBRARY", "definition", "DIRECTION", "DTYPE", "ELEMENT", "FLAGS", "FOREIGN_TYPE",
    "FUNCTION_OPTIONS", "HEADER_OPTIONS", "HEADERS", "held", "inputs", "keywords", "LIBRARY", "MEMBER", "NAME",
    "Named", "nameless", "native_body", "NATIVE_OPTIONS", "options", "PARAMETER_LIST", "PARAMETERS", "PLATFORMS",
    "prototype", "read", "REGISTERED", "RESULT", "SHAPE", "SIGNATURE", "STRUCT", "STRUCT_OPTIONS", "SYMBOL",
    "SYMBOLS", "TYPE", "TYPE_NAME", "value",
]  # fmt: skip
