"""Headers: a C header becomes bindings.  See ``facts`` for what is known of one, ``reading`` for how it is found out."""
