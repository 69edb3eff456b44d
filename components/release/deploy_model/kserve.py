"""Deploy a model to KServe, or write the manifest by which others do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kfp_hallmark.components.release.deploy_model.inference_service import (
    PREVIOUS,
    Options,
    manifest,
    marks,
    released,
    require_service,
)
from kfp_hallmark.components.release.deploy_model.kserve_cluster import Cluster
from kfp_hallmark.components.release.deploy_model.target import Parcel, Placed
from kfp_hallmark.contracts.documents import NO_YAML, writing
from kfp_hallmark.contracts.options import read_options
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import InputError
from kfp_hallmark.package import package_uri, put_package
from kfp_hallmark.vertex import resource_id


class KServe:
    """An InferenceService of KServe."""

    def __init__(self, deployment: Mapping[str, Any], serving_dir: str | None) -> None:
        self.options = self.read(deployment, serving_dir)

    @staticmethod
    def read(deployment: Mapping[str, Any], serving_dir: str | None) -> Options:
        """Return the options; see `Target`."""
        if serving_dir is not None:
            raise InputError(f"serving_dir must be left out for the target kserve; got {serving_dir!r}.")
        return read_options(Options, deployment, "deployment")

    @contextmanager
    def placing(self, parcel: Parcel) -> Iterator[Placed]:
        """Put the package into the storage, and bring the InferenceService to the state in which it has its share.

        With `manifest_dir` that state is written there instead. Nobody is known to have applied it, so the version does
        not lead; once it is applied, the same without `manifest_dir` finds it there, changes nothing, and moves the
        alias.
        """
        service = require_service(self.options.service or resource_id(parcel.release.name))
        if self.options.manifest_dir is not None:
            yield self._write(parcel, service, Path(self.options.manifest_dir) / f"{service}.yaml")
            return
        cluster = Cluster(self.options, service)
        former = cluster.get()
        mode = cluster.mode(former)
        cluster.installation.require_canary(mode, self.options.traffic)
        wanted = self._manifest(parcel, service, mode, former)
        self._put(parcel)

        def change(live: Mapping[str, Any] | None) -> dict[str, Any]:
            nonlocal former, wanted
            wanted = self._manifest(parcel, service, mode, live)
            if live is None or marks(live["spec"]) != marks(wanted["spec"]):
                former = live
            return wanted

        try:
            cluster.apply(change)
            address = f"{cluster.wait(wanted, mode)}/v1/models/{quote(parcel.release.name)}:predict"
            yield Placed(self._placed(parcel.release, wanted), address, leads=self.options.traffic == 100)
        except BaseException:
            cluster.restore(former, wanted)
            raise

    def _manifest(self, parcel: Parcel, service: str, mode: str, live: Mapping[str, Any] | None) -> dict[str, Any]:
        uri = package_uri(self.options.storage_uri, parcel.release)
        return manifest(self.options, service, parcel.release, uri, mode, live)

    def _put(self, parcel: Parcel) -> None:
        put_package(self.options.put_uri, parcel.release, parcel.model, parcel.decision, parcel.evidence)

    def _write(self, parcel: Parcel, service: str, file: Path) -> Placed:
        """Write the manifest, which follows from the one that is there."""
        import yaml

        live = _read(file) if file.exists() else None
        wanted = self._manifest(parcel, service, self.options.mode or "", live)
        self._put(parcel)
        with writing(file) as temporary:
            temporary.write_text(yaml.safe_dump(wanted, sort_keys=False), encoding="utf-8")
        return Placed(self._placed(parcel.release, wanted), file.resolve().as_uri(), leads=False)

    def _placed(self, release: Release, wanted: Mapping[str, Any]) -> Release:
        """Return a release with its share of the requests and what led before it, as its manifest says."""
        spec = wanted["spec"]
        predictors = [spec["predictor"], *(entry["predictor"] for entry in spec.get("canary", []))]
        own = next(predictor for predictor in predictors if released(predictor) == release.reference)
        return replace(release, previous=released(own, PREVIOUS), traffic=self.options.traffic)


def _read(file: Path) -> dict[str, Any]:
    """Return a manifest that an earlier deployment wrote.

    Raises:
        InputError: If it is anything else.
    """
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        if found["kind"] == "InferenceService" and found["metadata"]["name"] and found["spec"]["predictor"]:
            return dict(found)
    except (OSError, yaml.YAMLError, *NO_YAML):
        pass
    raise InputError(
        f"The file {str(file)!r} must be the manifest of an InferenceService; it is not.",
        "Remove it, or choose another manifest_dir.",
    )
