"""Compare a model with the champion: the version of the registered model that serves now.

The comparison is a test of non-inferiority on the same rows: the model passes when the whole confidence interval of
its advantage lies above the loss that is allowed, fails when the whole interval lies below it, and is inconclusive in
between, where the data can tell neither.

Source: G. Piaggio and others, Reporting of Noninferiority and Equivalence Randomized Trials, JAMA 308 (2012).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kfp_hallmark.contracts.decision import Outcome
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.contracts.registration import DECISION_TAG, DIGEST_TAG, require_model_name
from kfp_hallmark.contracts.verdict import Check, Status
from kfp_hallmark.errors import HallmarkError, InputError, IntegrityError, MissingInputError
from kfp_hallmark.measures import Interval, advantage
from kfp_hallmark.reports import number

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

CHECK = "champion"
ALIAS = "champion"


@dataclass(frozen=True)
class Terms:
    """What a model is compared with, and by what.

    Attributes:
        model_name: The registered model whose champion is asked.
        metric: The metric that is compared.
        max_loss: How much worse the model may be.
        samples: Number of paired resamples.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.
    """

    model_name: str
    metric: str
    max_loss: float
    samples: int
    confidence: float
    seed: int

    def __post_init__(self) -> None:
        require_model_name(self.model_name)
        if not 0 <= self.max_loss < math.inf:
            raise InputError(f"max_champion_loss must be a finite number, at least 0; got {self.max_loss}.")


@dataclass(frozen=True)
class Comparison:
    """What came of comparing a model with the champion.

    Attributes:
        check: The check that the verdict gets.
        champion: What the champion says of the same rows; None when it was not asked.
    """

    check: Check
    champion: Predictions | None = None


def compare_with_champion(challenger: Predictions, dataset: str, terms: Terms, tracking_uri: str | None) -> Comparison:
    """Compare a model's predictions with those of the champion of a registered model.

    No champion is a pass that says so, as is the champion itself; a warning where versions were released that could be
    it. A champion whose files are not those that were registered fails, and is never loaded. A registry that does not
    answer, and a champion that cannot predict these rows, are inconclusive.

    Raises:
        InputError: If no registry is named.
    """
    from kfp_hallmark.tracking import client
    from kfp_hallmark.tracking import tracking_uri as registry_uri

    uri = registry_uri(tracking_uri)
    scope = {"model": terms.model_name}
    try:
        registry = client(uri)
        version = _champion_version(registry, terms.model_name)
        released = [] if version else _released(registry, terms.model_name)
    except MissingInputError as error:
        return _only(Status.INCONCLUSIVE, f"The registry could not be asked for a champion. {error.message}", scope)
    if released:
        message = (
            f"The model {terms.model_name!r} has no champion, though {len(released)} of its versions were released, so "
            f"no comparison was made: give the one that serves the alias {ALIAS}."
        )
        return _only(Status.WARN, message, scope)
    if version is None:
        message = f"The model {terms.model_name!r} has no champion yet, so no comparison was made."
        return _only(Status.PASS, message, scope)
    scope |= {"version": str(version.version), "metric": terms.metric}
    return _compare(challenger, dataset, registry, version, terms, scope)


def _compare(
    challenger: Predictions,
    dataset: str,
    registry: MlflowClient,
    version: ModelVersion,
    terms: Terms,
    scope: dict[str, str],
) -> Comparison:
    name = f"The champion, version {version.version},"
    digest = version.tags.get(DIGEST_TAG)
    if not digest:
        return _only(Status.FAIL, f"{name} has no tag {DIGEST_TAG} to verify it by.", scope)
    try:
        with _champion_files(registry, version, digest) as path:
            if digest == challenger.model:
                return _only(Status.PASS, f"{name} is this very model, so no comparison was made.", scope)
            champion = _predict_with_champion(path, challenger, dataset)
    except IntegrityError as error:
        return _only(Status.FAIL, f"{name} is not what was registered. {error.message}", scope)
    except HallmarkError as error:
        return _only(Status.INCONCLUSIVE, f"{name} cannot be applied to these rows. {error.message}", scope)
    found = advantage(challenger, champion, terms.metric, terms.samples, terms.confidence, terms.seed)
    if found is None:
        return _only(
            Status.INCONCLUSIVE,
            f"The {terms.metric} of the model or the champion is undefined, or rests on too few rows to compare.",
            scope,
        )
    check = _judge(*found, terms)
    return Comparison(replace(check, confidence=terms.confidence, samples=len(challenger.label), scope=scope), champion)


def _only(status: Status, message: str, scope: dict[str, str]) -> Comparison:
    return Comparison(Check(CHECK, status, scope=scope, message=message))


def _champion_version(registry: MlflowClient, model_name: str) -> ModelVersion | None:
    """Return the version that has the alias, or None.

    Raises:
        MissingInputError: If the registry does not answer.
    """
    from mlflow.exceptions import MlflowException

    from kfp_hallmark.tracking import reaching

    with reaching(registry.tracking_uri):
        try:
            found = registry.get_registered_model(model_name).aliases.get(ALIAS)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return None if found is None else registry.get_model_version(model_name, found)


def _released(registry: MlflowClient, model_name: str) -> list[str]:
    """Return the versions of a registered model that have a decision to release.

    Raises:
        MissingInputError: If the registry does not answer.
    """
    from kfp_hallmark.tracking import reaching

    with reaching(registry.tracking_uri):
        versions = registry.search_model_versions(f"name = '{model_name}'")
    return [str(version.version) for version in versions if version.tags.get(DECISION_TAG) == Outcome.RELEASE]


@contextmanager
def _champion_files(registry: MlflowClient, version: ModelVersion, digest: str) -> Iterator[str]:
    """Give a folder with the champion's files, verified.

    Raises:
        IntegrityError: If they do not have the digest.
        InputError: If they cannot be fetched.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = _download(registry, version, folder)
        found = artifact_digest(path)
        if found != digest:
            raise IntegrityError(f"Its files must have the digest {digest}; got {found}.")
        yield path


def _predict_with_champion(path: str, challenger: Predictions, dataset: str) -> Predictions:
    """Load the champion and let it predict.

    Raises:
        InputError: If it cannot predict these rows, or predicts other classes.
    """
    from kfp_hallmark.modeling import load_model, predict

    champion = predict(load_model(path), dataset, challenger.target)
    kinds = [(each.task, set(each.classes), each.positive_class) for each in (challenger, champion)]
    if kinds[0] != kinds[1]:
        raise InputError(f"It must predict the same classes; it predicts {champion.task}, {list(champion.classes)}.")
    return champion


def _download(registry: MlflowClient, version: ModelVersion, folder: str) -> str:
    """Fetch a version's files as they are; through its `models:/` URI, MLflow would add one of its own."""
    from mlflow.artifacts import download_artifacts

    uri = registry.tracking_uri
    try:
        source = registry.get_model_version_download_uri(version.name, version.version)
        return download_artifacts(artifact_uri=source, dst_path=folder, tracking_uri=uri, registry_uri=uri)
    except Exception as error:
        raise InputError(f"Its files could not be fetched ({type(error).__name__}).") from error


def _judge(difference: float, interval: Interval, terms: Terms) -> Check:
    """Hold the advantage over the champion against the loss that is allowed."""
    low, high = interval
    least = -terms.max_loss
    status = Status.PASS if low >= least else Status.FAIL if high < least else Status.INCONCLUSIVE
    side = "better" if difference >= 0 else "worse"
    said = (
        f"in {terms.metric.replace('_', ' ')} it is {number(abs(difference), 3)} {side} than the champion "
        f"({number(low, 3)} to {number(high, 3)}; at most {number(terms.max_loss, 3)} worse is allowed)"
    )
    message = {
        Status.PASS: f"The model is not worse than allowed: {said}.",
        Status.FAIL: f"The model is worse than allowed: {said}.",
        Status.INCONCLUSIVE: f"The data cannot tell whether the model is worse than allowed: {said}.",
    }[status]
    return Check(CHECK, status, observed=difference, minimum=least, interval=interval, message=message)
