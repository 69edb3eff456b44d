"""Outputs of earlier steps, used again when nothing that they depend on has changed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.dsl import executor
from kfp.local.cache import LocalCache

from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import value_digest, write_json
from kfp_hallmark.errors import HallmarkError

SCHEMA = "hallmark/reuse/v1"

_METADATA_ALONE = ("system.Metrics", "system.ClassificationMetrics", "system.SlicedClassificationMetrics")

_RUNTIME = re.compile(r"\{\{\$(?!\.inputs\.)|/kfp-workspace")
"""What KFP replaces by something of the run at hand, such as its id; inputs are in the key themselves."""


class Reuse(LocalCache):
    """A cache of step outputs, keyed by contents: the environment, the command, parameters, input artifacts.

    Unlike kfp's, it asks neither where an input lies nor what its metadata says, and gives an output only when its
    contents are still what they were; it gives a copy, so that every run's folder is whole.

    Args:
        folder: Where the entries are kept.
        environment: Gives what a step on an image runs on, our code included.
        target: Gives the folder that the outputs of the step at hand belong in.
        tracking_uri: Where MLflow keeps its runs, which steps write to.
    """

    def __init__(
        self, folder: Path, environment: Callable[[str], str], target: Callable[[], Path], tracking_uri: str
    ) -> None:
        super().__init__(str(folder))
        self._environment = environment
        self._target = target
        self._tracking_uri = tracking_uri

    def compute_key(
        self,
        component_name: str,
        image: str,
        full_command: list[str],
        arguments: dict[str, Any],
        env_vars: dict[str, str] | None = None,
        custom_cache_key: str | None = None,
    ) -> str | None:
        """Return the key of a step; None, by which it is neither found nor kept, when its inputs cannot be told."""
        try:
            inputs = {name: _identity(value) for name, value in arguments.items()}
        except (HallmarkError, OSError):
            return None
        if _RUNTIME.search(json.dumps([inputs, env_vars])):
            return None
        return value_digest(
            {
                "environment": self._environment(image),
                "command": full_command,
                "inputs": inputs,
                "variables": env_vars or {},
                "tracking_uri": self._tracking_uri,
                "custom": custom_cache_key,
            }
        ).removeprefix("sha256:")

    def get(self, key: str | None) -> dict[str, Any] | None:
        """Return copies of a step's outputs; None when there are none or they are no longer what they were."""
        if key is None:
            return None
        path = Path(self._entry_path(key))
        if not path.is_file():
            return None
        target = self._target()
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            if entry["digest"] != value_digest(entry["outputs"]):
                raise ValueError("the entry changed")
            return {name: _restore(value, target / name) for name, value in entry["outputs"].items()}
        except (HallmarkError, OSError, ValueError, LookupError, TypeError):
            shutil.rmtree(target, ignore_errors=True)
            return None

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Keep a step's outputs: parameters as they are, artifacts by path and digest."""
        kept = {name: _keep(value) for name, value in outputs.items()}
        write_json(self._entry_path(key), {"schema": SCHEMA, "outputs": kept, "digest": value_digest(kept)})


def _identity(value: Any) -> Any:
    """Return what tells an input from another: contents, never place; of metrics, which have none, the metadata."""
    if isinstance(value, dsl.Artifact):
        digest = _digest(value)
        return {"metadata": dict(value.metadata)} if digest is None else {"digest": digest}
    if isinstance(value, list):
        return [_identity(entry) for entry in value]
    return value


def _digest(artifact: dsl.Artifact) -> str | None:
    """Return the digest of an artifact's contents; None for metrics, which are metadata alone.

    Raises:
        MissingInputError: If another artifact has no contents where they are to be: they are somewhere else.
    """
    if artifact.schema_title in _METADATA_ALONE and not Path(artifact.path).exists():
        return None
    return artifact_digest(artifact.path)


def _keep(value: Any) -> dict[str, Any]:
    if isinstance(value, dsl.Artifact):
        return {
            "path": value.path,
            "uri": value.uri,
            "name": value.name,
            "type": value.schema_title,
            "digest": _digest(value),
            "metadata": dict(value.metadata),
        }
    return {"value": value}


def _restore(entry: dict[str, Any], path: Path) -> Any:
    if "value" in entry:
        return entry["value"]
    uri = entry["uri"] if "://" in entry["uri"] else str(path)
    if entry["digest"] is not None:
        source = Path(entry["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, path)
        else:
            shutil.copyfile(source, path)
        if artifact_digest(path) != entry["digest"]:
            raise ValueError("the contents changed")
    return executor.create_artifact_instance(
        {"name": entry["name"], "uri": uri, "metadata": entry["metadata"], "type": {"schemaTitle": entry["type"]}}
    )
