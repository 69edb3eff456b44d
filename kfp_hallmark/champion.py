"""The champion: the version of a registered model that serves now, and what it says of the same rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from kfp_hallmark.contracts.decision import Outcome
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.predictions import Predictions
from kfp_hallmark.contracts.registration import DECISION_TAG, DIGEST_TAG
from kfp_hallmark.contracts.verdict import Status
from kfp_hallmark.errors import HallmarkError, InputError, IntegrityError, MissingInputError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

T = TypeVar("T")

ALIAS = "champion"


@dataclass(frozen=True)
class Answer:
    """What the champion says, or why it says nothing.

    Attributes:
        status: What a comparison comes to when it says nothing.
        message: Why it says nothing.
        version: The version that has the alias; None when there is none.
        predictions: What it says of the same rows; None when it was not asked.
    """

    status: Status
    message: str
    version: str | None = None
    predictions: Predictions | None = None


def ask_champion(challenger: Predictions, dataset: str, model_name: str, tracking_uri: str | None) -> Answer:
    """Let the champion of a registered model predict the rows that a model predicted; see `consult_champion`.

    Args:
        challenger: What the model said.
        dataset: The dataset that it was asked of.
        model_name: The registered model.
        tracking_uri: The registry; None asks the environment.

    Raises:
        InputError: If no registry is named.
    """

    def use(path: str) -> Predictions:
        return _predict_with_champion(path, challenger, dataset)

    answer, predictions = consult_champion(challenger.model, model_name, tracking_uri, use)
    return replace(answer, predictions=predictions)


def consult_champion(
    model: str, model_name: str, tracking_uri: str | None, use: Callable[[str], T]
) -> tuple[Answer, T | None]:
    """Let the champion of a registered model do what a model is to be compared by.

    No champion is a pass that says so, as is the champion itself; a warning where versions were released that could be
    it. A champion whose files are not those that were registered fails, and is never loaded. A registry that does not
    answer, and a champion that cannot do it, are inconclusive.

    Args:
        model: The digest of the model that is compared.
        model_name: The registered model.
        tracking_uri: The registry; None asks the environment.
        use: The champion's verified folder to what is compared; raises `HallmarkError` where the champion cannot.

    Returns:
        Whether it could be asked, and what `use` returned; None when it was not asked.

    Raises:
        InputError: If no registry is named.
    """
    from kfp_hallmark.tracking import client
    from kfp_hallmark.tracking import tracking_uri as registry_uri

    uri = registry_uri(tracking_uri)
    try:
        registry = client(uri)
        version = _champion_version(registry, model_name)
        released = [] if version else _released(registry, model_name)
    except MissingInputError as error:
        return Answer(Status.INCONCLUSIVE, f"The registry could not be asked for a champion. {error.message}"), None
    if released:
        message = (
            f"The model {model_name!r} has no champion, though {len(released)} of its versions were released, so "
            f"no comparison was made: give the one that serves the alias {ALIAS}."
        )
        return Answer(Status.WARN, message), None
    if version is None:
        return Answer(Status.PASS, f"The model {model_name!r} has no champion yet, so no comparison was made."), None
    return _consult(model, registry, version, use)


def _consult(
    model: str, registry: MlflowClient, version: ModelVersion, use: Callable[[str], T]
) -> tuple[Answer, T | None]:
    number = str(version.version)
    name = f"The champion, version {number},"
    digest = version.tags.get(DIGEST_TAG)
    if not digest:
        return Answer(Status.FAIL, f"{name} has no tag {DIGEST_TAG} to verify it by.", number), None
    try:
        with _champion_files(registry, version, digest) as path:
            if digest == model:
                return Answer(Status.PASS, f"{name} is this very model, so no comparison was made.", number), None
            found = use(path)
    except IntegrityError as error:
        return Answer(Status.FAIL, f"{name} is not what was registered. {error.message}", number), None
    except HallmarkError as error:
        return Answer(Status.INCONCLUSIVE, f"{name} cannot be applied to these rows. {error.message}", number), None
    return Answer(Status.PASS, "", number), found


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
    from kfp_hallmark.modeling.loading import load_model
    from kfp_hallmark.modeling.prediction import predict

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
