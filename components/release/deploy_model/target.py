"""What the places have in common that a model is deployed to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kfp_hallmark.contracts.digest import Manifest
from kfp_hallmark.contracts.registration import Registration
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import InputError


@dataclass(frozen=True)
class Parcel:
    """A registered model with its evidence, all of it verified, on its way to where it is served.

    Attributes:
        release: What it is: name, version, the model's manifest, the decision's digest.
        model: The model's folder on this machine.
        decision: The decision's folder on this machine.
        evidence: The manifest of the decision's folder.
        registration: Where it is registered.
        alias: The alias that it gets when it answers every request.
    """

    release: Release
    model: Path
    decision: Path
    evidence: Manifest
    registration: Registration
    alias: str


@dataclass(frozen=True)
class Placed:
    """A model that serves.

    Attributes:
        release: What is served, and what was served before it.
        uri: Where from.
        leads: Whether it answers every request; a canary does not, and so is not the champion.
    """

    release: Release
    uri: str
    leads: bool = True


def leads_already(traffic: int) -> InputError:
    """Return the error for a canary of what leads: a share of the requests would be left to nobody's champion."""
    return InputError(
        f"deployment['traffic'] must be 100 for the version that leads; got {traffic}.",
        "To give a canary beside it more, deploy the canary with a greater traffic.",
    )


class Target(Protocol):
    """Where models are served; made from the parameters `deployment` and `serving_dir`."""

    def __init__(self, deployment: Mapping[str, Any], serving_dir: str | None) -> None:
        """Check the parameters wholly, before anything is sent."""

    @staticmethod
    def read(deployment: Mapping[str, Any], serving_dir: str | None) -> object:
        """Return the options, as far as they can be checked anywhere.

        Raises:
            InputError: If one is unknown, missing or cannot be used, or a serving folder is given that cannot be.
        """

    def placing(self, parcel: Parcel) -> AbstractContextManager[Placed]:
        """Make a model serve while the block runs and after it.

        The block moves the alias. When it raises, what served before serves again. Killed anywhere, the step can be run
        again, and makes nothing twice.
        """
