"""Native functions: a Lisp body becomes C, and machine code; or, where there is no compiler, is interpreted."""
