"""What keeps Hy out of plain ``import epsilon``, and the reader of forms out of a Hy module that is compiled already.

``hy.macros.require`` takes ``epsilon.__dict__["_hy_macros"]``; a module ``__getattr__`` would not serve.  So the table
is a real dict that imports ``epsilon.macros`` the first time anything looks into it.
"""

from __future__ import annotations


class MacroTable(dict):
    """A dict of the macros of ``epsilon.macros``, imported on first use."""

    def _fill(self) -> None:
        if not dict.__len__(self):
            import epsilon.macros

            self.update(epsilon.macros._hy_macros)

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        self._fill()
        return super().__len__()

    def __contains__(self, name: object) -> bool:
        self._fill()
        return super().__contains__(name)

    def __getitem__(self, name: str):
        self._fill()
        return super().__getitem__(name)

    def __iter__(self):
        self._fill()
        return super().__iter__()

    def keys(self):
        self._fill()
        return super().keys()

    def values(self):
        self._fill()
        return super().values()

    def items(self):
        self._fill()
        return super().items()

    def get(self, name, default=None):
        self._fill()
        return super().get(name, default)


class Later:
    """A module that is imported when the first of its attributes is asked for.

    >>> Later("json").dumps([1, 2])
    '[1, 2]'
    """

    def __init__(self, module: str):
        self.__name = module

    def __getattr__(self, name: str):
        import importlib

        value = getattr(importlib.import_module(self.__name), name)
        setattr(self, name, value)
        return value
