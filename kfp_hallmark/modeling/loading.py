"""Load an MLflow model.

A model folder of Hallmark's own, and any other that holds a pickled scikit-learn estimator, is loaded without importing
MLflow, which costs seconds; every other folder is loaded as MLflow's `python_function`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp_hallmark.contracts.digest import PREFIX, Manifest, file_digest
from kfp_hallmark.contracts.model import MODEL_FILE, model_file, parse_model_file, stated_metadata
from kfp_hallmark.errors import EnvironmentFailure, HallmarkError, InputError, IntegrityError
from kfp_hallmark.modeling.columns import Column, signature_of

if TYPE_CHECKING:
    import pandas

BLOCK_BYTES = 2**20
"""How much of a file is held in memory while it is hashed, copied or unpickled."""


@dataclass(frozen=True)
class LoadedModel:
    """A model, ready to predict.

    Attributes:
        name: How messages call it.
        digest: Digest of its folder.
        function: What predicts: a data frame to probabilities, scores, classes or numbers.
        columns: The inputs that its signature names; empty when it names none.
        metadata: What it says of itself under `metadata.hallmark`; may be empty.
        estimator: The scikit-learn estimator, or None when it is not one.
    """

    name: str
    digest: str
    function: Callable[[pandas.DataFrame], Any]
    columns: tuple[Column, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    estimator: Any = None


def load_model(path: str | Path, digest: str | None = None) -> LoadedModel:
    """Load a model folder; what it holds is code, so it is verified first when its digest is known.

    What is loaded is what was hashed, whoever changes the folder meanwhile: a pickle is held against its hash once more
    while it is unpickled, and MLflow is given a private copy that was hashed as it was made.

    Args:
        path: MLflow model folder.
        digest: The digest that the folder must have; None does not ask.

    Raises:
        MissingInputError: If the folder is not a model folder.
        IntegrityError: If its digest is another, and nothing in it was loaded then; if it changes while it is loaded.
        InputError: If it cannot be loaded.
        EnvironmentFailure: If MLflow must load it and no temporary folder can be written.
    """
    name, content = str(path), model_file(path).read_bytes()
    document = parse_model_file(content, path)
    flavors = document.get("flavors") or {}
    general, native = flavors.get("python_function") or {}, flavors.get("sklearn") or {}
    take = _take_pickle if _is_plain_pickle(general, native) else _take_copy
    with contextlib.ExitStack() as undo:
        found, load = take(Path(path), content, general, undo)
        if digest is not None and digest != found:
            raise IntegrityError(
                f"The model {name!r} must have the digest {digest}; got {found}.",
                "Its files were changed after the digest was taken; train it again.",
            )
        _require_one_model(name, general, native)
        try:
            estimator, function = load()
        except HallmarkError:
            raise
        except Exception as error:
            raise InputError(
                f"The model {name!r} must load as MLflow's python_function; got {type(error).__name__}: {error}.",
                "The environment must hold the packages that its requirements.txt names.",
            ) from error
    return LoadedModel(name, found, function, signature_of(document), stated_metadata(document), estimator)


def _require_one_model(name: str, general: Mapping[str, Any], native: Mapping[str, Any]) -> None:
    """Raise unless a model can be loaded, and is the same one for MLflow and for scikit-learn's flavor."""
    if not general:
        raise InputError(f"The model {name!r} must have MLflow's flavor python_function; it has not.")
    files = {general.get("data") or general.get("model_path"), native.get("pickled_model")} - {None}
    if native and len(files) > 1:
        named = ", ".join(sorted(map(str, files)))
        raise IntegrityError(f"The model {name!r} must be one model; its flavors load different files: {named}.")


Loading = Callable[[], tuple[Any, Callable[["pandas.DataFrame"], Any]]]
"""Returns the estimator, if it is scikit-learn's, and the function that predicts."""


def _take_pickle(
    folder: Path, content: bytes, general: Mapping[str, Any], undo: contextlib.ExitStack
) -> tuple[str, Loading]:
    """Return the digest of a model folder with a plain pickle, and what loads the very pickle that was hashed."""
    name = str(general.get("model_path"))
    pickled: list[_Hashed] = []

    def digest_of(file: Path) -> str:
        if file == folder / MODEL_FILE:
            return PREFIX + hashlib.sha256(content).hexdigest()
        if file != folder / name:
            return file_digest(file)
        pickled.append(_Hashed(file))
        return pickled[0].digest

    def load() -> tuple[Any, Callable[[pandas.DataFrame], Any]]:
        if not pickled:
            raise IntegrityError(f"The model {str(folder)!r} must hold what it loads; it names {name!r}.")
        estimator = pickle.load(io.BufferedReader(undo.enter_context(pickled[0]), BLOCK_BYTES))
        return estimator, getattr(estimator, general.get("predict_fn", "predict"))

    return Manifest.of(folder, digest_of).digest, load


class _Hashed(io.RawIOBase):
    """A file that is hashed when it is opened, and then gives what was hashed or nothing.

    The hash is noted block by block, so that reading can be held against it without keeping the file in memory.

    Attributes:
        digest: The file's digest.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("rb")
        state, notes = hashlib.sha256(), []
        while block := self._file.read(BLOCK_BYTES):
            state.update(block)
            notes.append(state.digest())
        self.digest = PREFIX + state.hexdigest()
        self._state, self._notes, self._block = hashlib.sha256(), iter(notes), memoryview(b"")
        self._file.seek(0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._block:
            block = self._file.read(BLOCK_BYTES)
            self._state.update(block)
            if next(self._notes, None) != (self._state.digest() if block else None):
                raise IntegrityError(f"The file {str(self._path)!r} must not change while it is loaded; it did.")
            self._block = memoryview(block)
        count = min(len(buffer), len(self._block))
        buffer[:count], self._block = self._block[:count], self._block[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _take_copy(
    folder: Path, content: bytes, general: Mapping[str, Any], undo: contextlib.ExitStack
) -> tuple[str, Loading]:
    """Return the digest of a private copy of a model folder, and what lets MLflow load it.

    The copy stays as long as the model, which may read in it whenever it predicts.
    """
    copy = undo.enter_context(private_folder())

    def digest_of(file: Path) -> str:
        target = copy / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            io.BytesIO(content) if file == folder / MODEL_FILE else file.open("rb") as source,
            target.open("xb") as made,
        ):
            state = hashlib.sha256()
            while block := source.read(BLOCK_BYTES):
                state.update(block)
                made.write(block)
        return PREFIX + state.hexdigest()

    digest = Manifest.of(folder, digest_of).digest

    def load() -> tuple[Any, Callable[[pandas.DataFrame], Any]]:
        if general.get("code"):
            _require_alone(str(folder), digest)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import pyfunc

        model = pyfunc.load_model(str(copy), suppress_warnings=True)
        weakref.finalize(model, undo.pop_all().close)
        wanted = _tensor_type(parse_model_file(content, folder))
        return None, model.predict if wanted is None else lambda frame: model.predict(frame.to_numpy(wanted))

    return digest, load


_with_code: set[str] = set()


def _require_alone(name: str, digest: str) -> None:
    """Raise if another model with code of its own was loaded: Python keeps one module of a name, so both would mix."""
    if _with_code - {digest}:
        raise InputError(
            f"The model {name!r} must be the only one with code of its own in its process; another was loaded before.",
            "Start the program anew to load it.",
        )
    _with_code.add(digest)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Give a new folder that no other user can look into; it is removed when the block, or the process, ends.

    Raises:
        EnvironmentFailure: If no temporary folder can be written.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="hallmark-", ignore_cleanup_errors=True)
    except OSError as error:
        raise EnvironmentFailure(
            "There must be a temporary folder that can be written; there is none.",
            "Mount one at /tmp, or set TMPDIR to one.",
        ) from error
    with made as folder:
        yield Path(folder)


def _is_plain_pickle(general: Mapping[str, Any], native: Mapping[str, Any]) -> bool:
    """Return whether a model is one pickled scikit-learn estimator without code of its own beside it."""
    allowed = os.environ.get("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true").lower() in ("true", "1")
    return (
        allowed
        and general.get("loader_module") == "mlflow.sklearn"
        and native.get("serialization_format") in ("pickle", "cloudpickle")
        and not general.get("code")
        and not general.get("data")
    )


def _tensor_type(document: Mapping[str, Any]) -> str | None:
    """Return the numpy type of a signature of one tensor without a name, as of a network; None for any other."""
    inputs = json.loads((document.get("signature") or {}).get("inputs") or "[]")
    if len(inputs) != 1 or inputs[0].get("type") != "tensor" or inputs[0].get("name"):
        return None
    return str(inputs[0]["tensor-spec"]["dtype"])
