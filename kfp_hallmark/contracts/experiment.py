"""The experiment hash: SHA-256 over everything that a trained model depends on.

    {"dataset": "sha256:...", "environment": "sha256:...", "code": "sha256:...", "seed": 0, "configuration": {...}}

Two experiments with the same hash give the same model, to the digest, on the same kind of processor.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfp_hallmark.contracts.digest import file_digest
from kfp_hallmark.contracts.documents import value_digest

DIGEST_VARIABLE = "HALLMARK_ENVIRONMENT_DIGEST"
"""The variable in which a running step finds the digest of the lock its environment was made from."""

PACKAGE = Path(__file__).resolve().parents[1]


@functools.cache
def code_version() -> str:
    """Return the digest of the sources that a step may run: the package with its components.

    It is written `sha256:<64 hex digits>`. What only the SDK runs, such as the command line, is left out. A checkout
    and a wheel of the same sources have the same one.
    """
    specification = importlib.util.find_spec("kfp_hallmark.components")
    components = Path((specification.submodule_search_locations or [""])[0]) if specification else PACKAGE
    elsewhere = {"components", "pipelines", "_resources", "cli", "lint", "platforms", "runner", "submission"}
    elsewhere |= {"compiling.py", "settings.py", "settings_checks.py", "signature.py"}
    files = {
        path.relative_to(PACKAGE).as_posix(): file_digest(path)
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in elsewhere
    }
    files |= {
        f"components/{path.relative_to(components).as_posix()}": file_digest(path) for path in components.rglob("*.py")
    }
    return value_digest(files)


def environment_digest() -> str | None:
    """Return the digest of the locked environment that this step runs in, or None when nobody says."""
    return os.environ.get(DIGEST_VARIABLE) or None


@dataclass(frozen=True)
class Experiment:
    """What a trained model depends on.

    Attributes:
        dataset: Digest of the training data.
        configuration: Estimator, parameters, target and whatever else was chosen; JSON values.
        seed: Seed of everything random.
        environment: Digest of the locked environment, or None when it is not known.
        code: Digest of Hallmark's sources.
    """

    dataset: str
    configuration: Mapping[str, Any]
    seed: int
    environment: str | None = field(default_factory=environment_digest)
    code: str = field(default_factory=code_version)

    @property
    def hash(self) -> str:
        """The experiment's hash, `sha256:<64 hex digits>`."""
        return value_digest(
            {
                "dataset": self.dataset,
                "environment": self.environment,
                "code": self.code,
                "seed": self.seed,
                "configuration": dict(self.configuration),
            }
        )
