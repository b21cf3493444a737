"""Headers: a C header becomes bindings.  `facts` is what is known of one, `reading` how it is found out."""
