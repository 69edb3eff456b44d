"""Make an estimator from its import path and parameters."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

from kfp_hallmark.contracts.documents import canonical
from kfp_hallmark.errors import InputError, nearest

EXAMPLES = (
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.ensemble.HistGradientBoostingRegressor",
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.linear_model.LogisticRegression",
    "xgboost.XGBClassifier",
    "lightgbm.LGBMClassifier",
)
LIBRARY, PRIVATE = "interpret.", "interpret.privacy."
"""Where the estimators are that are private only if they are given what is public of the data, and no seed."""


def make_estimator(path: str, parameters: Mapping[str, Any], seed: int) -> Any:
    """Return an estimator that is not fitted, with the seed set wherever it has one.

    Libraries that would use every core unless told otherwise are told to use one, so that the number of cores does not
    change the model; `n_jobs` among the parameters overrides that.

    Args:
        path: Import path of a class with the scikit-learn API.
        parameters: Its arguments.
        seed: What every `random_state` is set to that the parameters do not set.

    Raises:
        InputError: If there is no such class, it is not an estimator, or it does not take the parameters.
    """
    if path.startswith(PRIVATE):
        raise _uncounted(path)
    found = _import(path)
    if found.__module__.startswith(LIBRARY) and found.__name__.startswith("DP"):
        raise _uncounted(path)
    # An estimator may keep the order, which is no part of the experiment.
    parameters = json.loads(canonical(dict(parameters)))
    try:
        estimator = found(**parameters)
    except TypeError as error:
        known = [name for name in inspect.signature(found).parameters if name != "kwargs"]
        unknown = next((name for name in parameters if name not in known), None)
        if unknown is None:
            raise InputError(f"estimator_parameters must suit {path!r}; {error}.") from error
        raise InputError(
            f"estimator_parameters must be parameters of {path!r}; got {unknown!r}.", nearest(unknown, known)
        ) from error
    settings = {name: seed for name in estimator.get_params() if name.endswith("random_state")}
    if "n_jobs" in estimator.get_params() and not found.__module__.startswith("sklearn."):
        settings["n_jobs"] = 1
    estimator.set_params(**{name: value for name, value in settings.items() if name not in parameters})
    if hasattr(estimator, "_parameter_constraints"):
        try:
            estimator._validate_params()
        except ValueError as error:
            raise InputError(f"estimator_parameters must suit {path!r}; {error}") from None
    return estimator


def _uncounted(path: str) -> InputError:
    return InputError(
        f"estimator must be trained with train_model's privacy, or be another; got {path!r}.",
        "Every other training, such as one of a search, would spend privacy that nobody counts.",
    )


def accept_labels(estimator: Any, meaning: Mapping[str, Any]) -> Any:
    """Return an estimator that takes the labels as they are.

    XGBoost takes only 0, 1, 2 and so on; a vote of one, which encodes labels, stands around it for any others.
    """
    classes = meaning.get("classes")
    if classes is None or not type(estimator).__module__.startswith("xgboost.") or classes == list(range(len(classes))):
        return estimator
    from sklearn.ensemble import VotingClassifier

    return VotingClassifier([("model", estimator)], voting="soft")


def _import(path: str) -> type:
    module_name, _, name = path.rpartition(".")
    must = "estimator must be the import path of a class with the scikit-learn API"
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError):
        raise InputError(f"{must}; got {path!r}.", nearest(path, list(EXAMPLES))) from None
    found = getattr(module, name, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if inspect.isclass(value) and hasattr(value, "fit")]
        raise InputError(f"{must}; {module_name!r} has no {name!r}.", nearest(name, classes))
    if not inspect.isclass(found) or not all(hasattr(found, method) for method in ("fit", "predict", "get_params")):
        raise InputError(f"{must}; {path!r} is none.", "It must have fit, predict and get_params.")
    return found
