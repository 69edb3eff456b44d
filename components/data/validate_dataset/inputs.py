"""What validate_dataset is given: the dataset, what it is compared with, and by what it is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kfp_hallmark.components.data.validate_dataset.comparison import Comparing, Limits, without
from kfp_hallmark.components.data.validate_dataset.contract import Given, load_contract
from kfp_hallmark.components.data.validate_dataset.features import Feature, describe
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_schema, require_column
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.seed import require_seed
from kfp_hallmark.errors import InputError
from kfp_hallmark.profiles.profile import Profile, column
from kfp_hallmark.profiles.scan import scan
from kfp_hallmark.profiles.statistics import dataset_statistics, statistics_list
from kfp_hallmark.profiles.statistics import feature as feature_statistics


@dataclass(frozen=True)
class Inputs:
    """The artifacts; see the component."""

    dataset: Artifact
    baseline: Artifact | None
    baseline_profile: Artifact | None
    previous: Artifact | None
    serving: Artifact | None
    delivered: Artifact | None
    expectations: Artifact | None

    def __post_init__(self) -> None:
        if self.baseline is not None and self.baseline_profile is not None:
            raise InputError("A baseline must be a dataset or its profile; got both.")

    def digests(self) -> dict[str, str]:
        """Return the digest of each that was given, by its role.

        Raises:
            IntegrityError: If one was changed since it was written.
        """
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            role: artifact_digest(verified(side, role.replace("_", " ")))
            for role, side in given.items()
            if side is not None
        }

    def profiles(self, excluded: Sequence[str]) -> dict[str, Profile]:
        """Return the profiles that were given, by the role of what they are of."""
        given = {"baseline": self.baseline_profile, "previous": self.previous}
        return {role: without(Profile.read(kept.path), excluded) for role, kept in given.items() if kept is not None}

    def judged_columns(self, excluded: Sequence[str]) -> list[str]:
        """Return the columns of the dataset that are judged.

        Raises:
            InputError: If an excluded column is absent, or none is left.
        """
        names = read_schema(self.dataset.path).names
        for name in excluded:
            require_column(name, names, "excluded_columns")
        left = [name for name in names if name not in excluded]
        if not left:
            raise InputError(f"excluded_columns must leave a column to judge; got all {len(names)}.")
        return left


@dataclass(frozen=True)
class Settings:
    """By what a dataset is judged; see the component.

    Attributes:
        contract: The contract that was given.
        limits: The limits of drift: those of the contract go before the parameters.
        excluded: The columns that are not judged.
        max_domain_auc: Greatest ROC AUC of the classifier that tells two sides apart.
        min_rows: Fewest rows of each side by which drift is judged.
        seed: Seed of the classifier's sample.
    """

    contract: Given | None
    limits: Limits
    excluded: Sequence[str]
    max_domain_auc: float
    min_rows: int
    seed: int

    def __post_init__(self) -> None:
        stable, greatest = self.limits.max_stable_psi, self.limits.max_psi
        if not (math.isfinite(stable) and stable >= 0):
            raise InputError(f"max_stable_psi must be 0 or above; got {stable}.")
        if not (math.isfinite(greatest) and greatest >= stable):
            raise InputError(f"max_psi must be at least max_stable_psi, {stable}; got {greatest}.")
        if not 0.5 <= self.max_domain_auc <= 1:
            raise InputError(f"max_domain_auc must be from 0.5 to 1; got {self.max_domain_auc}.")
        if self.min_rows < 1:
            raise InputError(f"min_rows must be 1 or above; got {self.min_rows}.")
        require_seed(self.seed)

    @classmethod
    def read(
        cls,
        contract_uri: str | None,
        max_stable_psi: float,
        max_psi: float,
        excluded: Sequence[str],
        max_domain_auc: float,
        min_rows: int,
        seed: int,
    ) -> Settings:
        """Return the settings, with the contract read; what it limits the gaps of is not excluded.

        Raises:
            MissingInputError: If there is no contract.
            InputError: If it cannot be read, or a limit is out of range.
        """
        contract = None if contract_uri is None else load_contract(contract_uri)
        limits = _limits(contract, max_stable_psi, max_psi)
        limited = {} if contract is None else contract.contract.max_gap_hours
        left_out = [name for name in excluded if name not in limited]
        return cls(contract, limits, left_out, max_domain_auc, min_rows, seed)

    def parameters(self, origin: str) -> dict[str, Any]:
        """Return what a verdict says of them, and where the schema is from."""
        return {
            "max_stable_psi": self.limits.max_stable_psi,
            "max_psi": self.limits.max_psi,
            "max_psi_of_features": {name: self.limits.of(name)[1] for name in self.limits.features},
            "max_domain_auc": self.max_domain_auc,
            "min_rows": self.min_rows,
            "seed": self.seed,
            "schema": origin,
            "contract": None if self.contract is None else self.contract.parameters(),
            "excluded_columns": list(self.excluded),
        }


def _limits(given: Given | None, max_stable_psi: float, max_psi: float) -> Limits:
    if given is None:
        return Limits(max_stable_psi, max_psi)
    said: Mapping[str, float] = given.contract.drift
    greatest = said.get("max_psi", max_psi)
    stable = said.get("max_stable_psi", min(max_stable_psi, greatest))
    return Limits(stable, greatest, given.contract.feature_drift)


@dataclass(frozen=True)
class Side:
    """What a dataset holds.

    Attributes:
        features: What each column holds.
        profile: The same as later datasets are compared with it.
        statistics: The same as TFDV keeps it, a DatasetFeatureStatisticsList.
    """

    features: list[Feature]
    profile: Profile
    statistics: Any

    @classmethod
    def read(
        cls,
        dataset: Artifact,
        digest: str,
        names: Sequence[str],
        comparing: Sequence[Comparing] = (),
        max_stable_psi: float = 0.0,
    ) -> Side:
        """Read some columns of a dataset once; return what they hold, having compared each.

        Raises:
            InputError: If there is no column to judge.
        """
        if not names:
            raise InputError(f"A dataset must have a column that is judged; {dataset.path!r} has none.")
        features, columns, statistics = [], {}, []
        for name, kind, counted in scan(dataset.path, names):
            columns[name] = column(kind, counted)
            features.append(describe(name, columns[name], counted))
            statistics.append(feature_statistics(name, kind, counted))
            for each in comparing:
                each.add(name, counted, max_stable_psi)
        return cls(
            features,
            Profile(digest, features[0].rows, columns),
            statistics_list([dataset_statistics(statistics)]),
        )


def kept_columns(dataset: Artifact, excluded: Sequence[str]) -> list[str]:
    """Return the columns of a dataset but for the excluded ones."""
    return [name for name in read_schema(dataset.path).names if name not in excluded]
