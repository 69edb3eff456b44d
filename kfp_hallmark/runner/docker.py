"""Steps as containers of a Docker engine."""

from __future__ import annotations

import contextlib
import os
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kfp.local import config

from kfp_hallmark.contracts.audit import PATH_VARIABLE as AUDIT_VARIABLE
from kfp_hallmark.contracts.data_contract import SUFFIXES, read_contract
from kfp_hallmark.contracts.dataset_signature import SUFFIX
from kfp_hallmark.contracts.documents import NO_YAML
from kfp_hallmark.contracts.experiment import code_version
from kfp_hallmark.contracts.release import SERVING_VARIABLE
from kfp_hallmark.environments import environment_of
from kfp_hallmark.environments.images import CODE_LABEL
from kfp_hallmark.errors import EnvironmentFailure, InputError, MissingInputError
from kfp_hallmark.runner.parameters import paths_of
from kfp_hallmark.runner.platforms import Folders, Job, containers, make_folder

RUN_LABEL = "io.hallmark.run"
"""The label by which the containers of a run are told; its value is the run's name."""

_PASSED_ON = ("AWS_", "MLFLOW_")
"""How the names of the variables begin that steps get from this process: by them they reach servers and storage."""


class DockerPlatform:
    """Runs steps as containers, as the user who started the run, on the host's network.

    A step gets no more memory than the pipeline says.

    Args:
        folders: Where the run keeps what.
        parameters: What the run is given.
        options: What Docker's `containers.create` is told over this.
    """

    def __init__(self, folders: Folders, parameters: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self._folders = folders
        self._options = options
        self._parameters = parameters
        self._client = _client()
        self._images: dict[str, str] = {}
        self._mounted: list[Any] = []

    def prepare(self, executors: Mapping[str, Any], report: Callable[[str], None]) -> None:
        """Look for every image, pull those that are not ours and not there, and decide what to mount.

        Raises:
            MissingInputError: If an image is not there, or holds other sources than run here.
        """
        import docker

        for image in sorted({container["image"] for container in containers(executors)}):
            try:
                found = self._client.images.get(image)
            except docker.errors.ImageNotFound:
                pass
            else:
                _require_these_sources(image, found.labels)
                self._images[image] = found.id
                continue
            if environment_of(image) is not None:
                raise MissingInputError(
                    f"The image {image!r} must be built before a run on the platform docker; it is not there.",
                    "Run `hallmark image build`.",
                )
            report(f"Pulling the image {image}.")
            self._images[image] = self._pull(image)
        self._mounted = self._mounts(executors)

    def runner(self) -> config.DockerRunner:
        """Return kfp.local's runner for containers."""
        return config.DockerRunner()

    def digest(self, image: str) -> str:
        """Return the digest of an image's configuration, which covers all its layers, our code in them."""
        return self._images[image]

    def run(self, job: Job) -> int:
        """Run a step as a container and remove it."""
        variables = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        variables |= self._folders.variables(os.environ) | {"HOME": "/tmp", "USER": "hallmark"} | dict(job.variables)
        options: dict[str, Any] = {
            "environment": variables,
            "mounts": self._mounted,
            "working_dir": str(self._folders.mlflow),
            "user": f"{os.getuid()}:{os.getgid()}",
            "network_mode": "host",
            "labels": {RUN_LABEL: self._folders.run_id},
        }
        if job.memory is not None:
            options |= {"mem_limit": job.memory, "memswap_limit": job.memory}
        container = self._client.containers.create(
            self._images[job.image], job.command, entrypoint="", **{**options, **self._options}
        )
        try:
            with job.interruption.ending(_Container(container.id), job.final):
                container.start()
                with job.log.open("ab", buffering=0) as log:
                    for chunk in container.logs(stream=True, follow=True):
                        log.write(chunk)
                return int(container.wait()["StatusCode"])
        finally:
            container.remove(force=True)

    def _pull(self, image: str) -> str:
        import docker

        try:
            return str(self._client.images.pull(image).id)
        except docker.errors.APIError as error:
            raise MissingInputError(
                f"The image {image!r} must be there or in a registry; it cannot be pulled ({error.explanation})."
            ) from error

    def _mounts(self, executors: Mapping[str, Any]) -> list[Any]:
        """Return what containers see of this machine, each at the same path: what they read, and what they write."""
        from docker.types import Mount

        variables = self._folders.variables(os.environ)
        written = [self._folders.state, Path(variables[SERVING_VARIABLE])]
        logs = [Path(variables[AUDIT_VARIABLE])]
        read = [Path(uri) for uri in _imported(executors) if Path(uri).exists()]
        for name, value in self._parameters.items():
            paths = [Path(path) for path in paths_of(name, value)]
            if name.endswith("_dir"):
                written += paths
            elif name.endswith("_log"):
                logs += paths
            else:
                read += [found for path in paths for found in (*with_signature(path), *referred(path))]
        written += [log.parent for log in logs]
        for folder in written:
            make_folder(folder)
        # The run's own folder is made when all else is ready.
        written.append(self._folders.run)
        seen = {path.absolute(): True for path in read} | {path.absolute(): False for path in written}
        return [Mount(str(path), str(path), type="bind", read_only=only) for path, only in seen.items()]


def with_signature(path: Path) -> list[Path]:
    """Return a file or folder and what belongs to it, as far as they are there.

    That is what it tracks if it is a `.dvc` file, their signature, and what DuckDB wrote last to it if it is its file.
    """
    data = tracked(path) if path.suffix == ".dvc" else path
    return [each for each in dict.fromkeys((path, data, Path(f"{data}{SUFFIX}"), Path(f"{data}.wal"))) if each.exists()]


def tracked(path: Path) -> Path:
    """Return the file or folder that a `.dvc` file tracks, which may be called otherwise than it (`dvc add --file`)."""
    import yaml

    try:
        (out,) = yaml.safe_load(path.read_bytes())["outs"]
        name = PurePosixPath(out["path"])
    except (yaml.YAMLError, *NO_YAML, OSError):
        # It is not in order, of which the step tells.
        return path
    return path if name.is_absolute() or ".." in name.parts else path.parent / name


def referred(path: Path) -> list[Path]:
    """Return the datasets that a file refers to if it is a data contract, as far as they are there."""
    if path.suffix.lower() not in SUFFIXES:
        return []
    try:
        contract = read_contract(path)
    except (InputError, OSError):
        # Another YAML file, or a contract that is not in order, of which the step tells.
        return []
    found = [Path(os.path.normpath(path.parent / reference.dataset)) for reference in contract.references]
    return [each for each in found if each.exists()]


class _Container:
    """A container that can be ended, from any thread: with a connection of its own."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier

    def terminate(self) -> None:
        # The shell that is a container's first process takes no other signal.
        self.kill()

    def kill(self) -> None:
        import docker

        client = _client()
        try:
            with contextlib.suppress(docker.errors.APIError):
                client.containers.get(self._identifier).kill()
        finally:
            client.close()


def _require_these_sources(image: str, labels: Mapping[str, str]) -> None:
    """Raise unless an image, if it is one of ours, was built from the sources that are here."""
    if environment_of(image) is not None and labels.get(CODE_LABEL) != code_version():
        raise MissingInputError(
            f"The image {image!r} must hold the sources that are here; it was built from others.",
            "Run `hallmark image build`.",
        )


def _client() -> Any:
    try:
        import docker
    except ImportError as error:
        raise EnvironmentFailure(
            "The platform docker must have the Python package docker; it is not installed.",
            "Install it with `pip install 'kfp-hallmark[docker]'`.",
        ) from error
    try:
        client = docker.from_env()
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise EnvironmentFailure(
            f"The platform docker must have a Docker engine that answers; none does ({error}).",
            "Start the engine, or say in DOCKER_HOST where it is.",
        ) from error
    return client


def _imported(executors: Mapping[str, Any]) -> list[str]:
    """Return the places on this machine that importers name."""
    uris = [
        str(executor["importer"].get("artifactUri", {}).get("constant", ""))
        for executor in executors.values()
        if "importer" in executor
    ]
    return [urllib.parse.urlparse(uri).path for uri in uris if uri.startswith(("/", "file:"))]
