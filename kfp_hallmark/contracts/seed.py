"""Seeds."""

from __future__ import annotations

from typing import Any

from kfp_hallmark.errors import InputError

SEEDS = 2**32
"""Seeds lie below it: the random states of scikit-learn do."""


def require_seed(seed: Any) -> None:
    """Raise `InputError` when a seed is none that NumPy and scikit-learn take."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise InputError(f"seed must be a whole number from 0 to 2**32 - 1; got {seed!r}.")
