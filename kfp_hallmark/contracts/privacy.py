"""The privacy ledger: what differentially private training has spent of the privacy of the people in some data.

It is a log of the form of the audit log (see `audit`), a line for each training, written before the data are used:

    {"event": "privacy_spent", "commitment": "hmac-sha256:...", "rows": 10000, "target": "employed", "epsilon": 1.0,
     "delta": 1e-06, "mechanism": "...", "library": "interpret-core 0.7.8"}

The line does not hold the digests of the data: they have no noise, so whoever reads them can try what a row holds. It
commits to them by a key that the model alone states; see `commitment`.

One ledger is the budget of one set of people: all that is in it is added up, whatever snapshot or split of their data
was trained on. By basic composition, k mechanisms that are (epsilon_i, delta_i)-differentially private are together
(sum of epsilon_i, sum of delta_i)-differentially private, also when each was chosen in the light of those before it.
Source: C. Dwork and A. Roth, The Algorithmic Foundations of Differential Privacy (2014), theorems 3.16 and B.1.

A ledger is never made by a training: a lost one would begin anew with nothing spent. Make an empty file once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts import audit
from kfp_hallmark.contracts.documents import canonical
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

PATH_VARIABLE = "HALLMARK_PRIVACY_LEDGER"
"""The environment variable that names the ledger when no path is given."""
EVENT = "privacy_spent"

_KEY, _COMMITMENT = r"[0-9a-f]{64}", r"hmac-sha256:[0-9a-f]{64}"


@dataclass(frozen=True)
class Spend:
    """What one training spent.

    Attributes:
        commitment: To the data and the experiment.
        rows: The number of rows, which is taken as public.
        target: The label's column.
        epsilon: Privacy loss, above 0.
        delta: Probability of a greater loss, above 0 and below 1.
        mechanism: What makes the training private.
        library: Package and version that it is of.
    """

    commitment: str
    rows: int
    target: str
    epsilon: float
    delta: float
    mechanism: str
    library: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Spend:
        """Return what a line of the ledger says.

        Raises:
            ValueError: If it is not what `record` gives.
        """
        values = dict(record)
        if values.pop("event", None) != EVENT or set(values) != set(cls.__dataclass_fields__):
            raise ValueError("its fields are not those of a spend")
        spend = cls(**values)
        if not isinstance(spend.commitment, str) or not re.fullmatch(_COMMITMENT, spend.commitment):
            raise ValueError("the commitment is none")
        if not (is_number(spend.epsilon) and spend.epsilon > 0 and is_number(spend.delta) and 0 < spend.delta < 1):
            raise ValueError("epsilon or delta is none")
        if not (is_number(spend.rows) and spend.rows > 0):
            raise ValueError("the number of rows is none")
        if not all(isinstance(text, str) for text in (spend.target, spend.mechanism, spend.library)):
            raise ValueError("target, mechanism or library is no text")
        return spend

    @property
    def record(self) -> dict[str, Any]:
        """The line that it is written as."""
        return {"event": EVENT, **asdict(self)}


def commitment(key: object, datasets: object, experiment_hash: object) -> str | None:
    """Return what commits to a training's data and experiment: HMAC-SHA-256 (RFC 2104) of their canonical JSON.

    With a random key it tells nothing of them to whoever has not the key, however many data he can try; and with no key
    can it be shown to be of others. It is made from whatever a model states, which need not be whole.

    Args:
        key: 32 random bytes, as 64 hexadecimal digits; every training has its own.
        datasets: Digests of the training data, and of what these were made from.
        experiment_hash: The experiment's hash.

    Returns:
        `hmac-sha256:` and 64 hexadecimal digits; None when the key is none, or the others are no JSON values.
    """
    if not isinstance(key, str) or not re.fullmatch(_KEY, key):
        return None
    try:
        message = canonical({"datasets": datasets, "experiment_hash": experiment_hash})
    except (RecursionError, TypeError, ValueError):
        return None
    return f"hmac-sha256:{hmac.new(bytes.fromhex(key), message, hashlib.sha256).hexdigest()}"


def is_number(value: object) -> bool:
    """Return whether a JSON value is a number that is finite as a double."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def ledger_path(given: object) -> Path:
    """Return the path of the ledger: the one given, else `HALLMARK_PRIVACY_LEDGER`.

    Raises:
        InputError: If there is neither, or it is a URI or no text.
    """
    if given is not None and not isinstance(given, str):
        raise InputError(f"privacy's ledger must be a path; got {given!r}.")
    path = given or os.environ.get(PATH_VARIABLE)
    if not path:
        raise InputError(
            f"The privacy ledger must be named, or {PATH_VARIABLE} must be set; got neither.",
            "On a cluster, mount a volume and name a path on it.",
        )
    if "://" in path:
        raise InputError(
            f"The privacy ledger must be a local or mounted file; got {path!r}.",
            "On a cluster, mount a volume and name a path on it.",
        )
    return Path(path)


def spend(path: Path, entry: Spend) -> str:
    """Write a spend to the ledger, under a lock and to the disk, and return the hash of its line.

    Raises:
        MissingInputError: If there is no ledger.
        IntegrityError: If it was changed, or holds something else.
    """
    read_ledger(path)
    return audit.append(path, entry.record)


def read_ledger(path: Path, expected_hash: str | None = None) -> dict[str, Spend]:
    """Return the hash of each line of the ledger and what it says, in order.

    Args:
        path: The ledger.
        expected_hash: The hash that some line must have, kept from earlier; it shows that the ledger was not cut short
            before that line, or replaced.

    Raises:
        MissingInputError: If there is no ledger, or it cannot be read.
        IntegrityError: If it was changed, holds something else, or no line has the expected hash.
    """
    try:
        if not path.is_file():
            raise MissingInputError(
                f"The privacy ledger must be a file; got {str(path)!r}.",
                "Was it lost? What was spent is not known without it. For people nobody has trained on, make an empty "
                "one.",
            )
        lines = audit.records(path)
        found = {line["hash"]: Spend.of(line["record"]) for line in lines}
    except (IntegrityError, MissingInputError):
        raise
    except OSError as error:
        raise MissingInputError(f"The privacy ledger {str(path)!r} must be readable; {error.strerror}.") from error
    except (TypeError, ValueError, KeyError) as error:
        raise IntegrityError(f"The privacy ledger {str(path)!r} must hold spends alone; {error}.") from error
    if expected_hash not in (None, audit.GENESIS, *found):
        raise IntegrityError(
            f"The privacy ledger {str(path)!r} must hold the line {expected_hash}; it was cut or replaced."
        )
    return found


def total(spends: Sequence[Spend]) -> tuple[float, float]:
    """Return epsilon and delta of some spends together, by basic composition.

    They are added as they are written: 0.1, 0.1 and 0.1 are 0.3.
    """
    epsilon = sum((Decimal(repr(each.epsilon)) for each in spends), Decimal(0))
    delta = sum((Decimal(repr(each.delta)) for each in spends), Decimal(0))
    return float(epsilon), float(delta)
