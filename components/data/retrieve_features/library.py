"""Feast, imported fast and kept calm."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any


@contextmanager
def calm() -> Iterator[None]:
    """Let Feast print and warn of nothing: it tells of deprecations, and of choices that it makes."""
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        yield


def load() -> None:
    """Import Feast before anything of it is imported elsewhere.

    It has every call of its own classes checked for types, by code that is made anew at each import: five seconds of
    seven. That is left out.
    """
    import typeguard

    checked = typeguard.typechecked

    def unchecked(target: Any = None, **_: Any) -> Any:
        return target or _as_is

    typeguard.typechecked = unchecked  # type: ignore[assignment]  # its overloads are not needed
    try:
        with calm():
            importlib.import_module("feast")
            logging.getLogger("feast").setLevel(logging.WARNING)
    finally:
        typeguard.typechecked = checked


def _as_is(target: Callable[..., Any]) -> Callable[..., Any]:
    return target
