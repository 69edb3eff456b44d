"""The environments as container images: one Dockerfile for all, with the same locks as the local environments."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from kfp_hallmark import __version__
from kfp_hallmark.contracts.experiment import code_version
from kfp_hallmark.environments import REGISTRY, image, lock_digest, lock_file, require_environment
from kfp_hallmark.environments.lock import repository
from kfp_hallmark.errors import EnvironmentFailure, InputError, MissingInputError
from kfp_hallmark.resources import checkout, resource

DOCKER_VARIABLE = "HALLMARK_DOCKER"
"""The docker client to build with. Default: the first on PATH that can build with BuildKit."""

CODE_LABEL = "io.hallmark.code"
"""The label that says which sources an image holds; see `code_version`."""

_SOURCES = ("kfp_hallmark", "components", "pipelines", "compiled", "environments")
_METADATA = ("pyproject.toml", "setup.cfg", "README.md", "LICENSE")
_EPOCH = "315532800"  # 1980, the first time a zip file can hold: equal sources give an equal wheel.


def build(
    name: str, base: str | None = None, ca: Path | None = None, report: Callable[[str], None] = lambda line: None
) -> str:
    """Build an environment's image and return its reference.

    Args:
        name: `data`, `ml` or `release`.
        base: Image to build on, with Python 3.11 and apt. Default: the Dockerfile's.
        ca: Certificates to trust while building, as PEM; they stay out of the image.
        report: Called with each line that the build prints.

    Raises:
        InputError: If there is no such environment.
        EnvironmentFailure: If no docker client can build, or the build fails.
        MissingInputError: If there is no such file of certificates.
    """
    require_environment(name)
    if ca is not None and not ca.is_file():
        raise MissingInputError(f"The certificates to build with must be a file; got {str(ca)!r}.")
    client = docker()
    with tempfile.TemporaryDirectory(prefix="hallmark-image-") as folder:
        context = Path(folder)
        for path in (lock_file(name), resource("environments", "builder.lock"), resource("environments", "Dockerfile")):
            shutil.copy(path, context)
        wheel(context)
        arguments = {"ENVIRONMENT": name, "VERSION": __version__}
        arguments |= {"LOCK_DIGEST": lock_digest(name), "CODE_VERSION": code_version()}
        if base:
            arguments["BASE_IMAGE"] = base
        command = [client, "build", "--progress", "plain", "--network", "host", "--tag", image(name)]
        command += [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
        command += ["--secret", f"id=ca,src={ca}"] if ca else []
        _run([*command, folder], report, f"The image of the environment {name} must build; it did not")
    return image(name)


def push(name: str, registry: str, report: Callable[[str], None] = lambda line: None) -> str:
    """Push an environment's image to a registry and return its reference there.

    Where the image was built under its local name and under its name in the registry, the newer one is pushed.

    Args:
        name: `data`, `ml`, ...
        registry: Registry and path, such as `europe-docker.pkg.dev/acme/hallmark`.
        report: Called with each line that docker prints.

    Raises:
        InputError: If there is no such environment, or the registry is the name that local images have.
        MissingInputError: If the image was not built.
        EnvironmentFailure: If there is no docker client, or the registry refuses.
    """
    require_environment(name)
    target = in_registry(name, registry)
    client = next(_clients(), None)
    if client is None:
        raise EnvironmentFailure("Images must be pushed by a docker client; none was found.", "Install Docker.")
    created = {reference: _created(client, reference) for reference in (target, image(name))}
    newest = max(created, key=lambda reference: created[reference])
    if not created[newest]:
        raise MissingInputError(
            f"The image {image(name)!r} must be built before it is pushed; it is not there.",
            f"Run `hallmark image build {name}`.",
        )
    if newest != target:
        _run([client, "tag", newest, target], report, f"The image {newest!r} must get the name {target!r}; it did not")
    _run([client, "push", target], report, f"The registry must take the image {target!r}; it did not")
    return target


def in_registry(name: str, registry: str) -> str:
    """Return the reference of an environment's image in a registry.

    Raises:
        InputError: If the registry is the name that local images have.
    """
    registry = registry.rstrip("/")
    if registry == REGISTRY:
        raise InputError(
            f"The registry must be one that platforms reach; {REGISTRY!r} is the name of local images.",
            "Give --registry, or set `registry` below [images] in hallmark.toml.",
        )
    return f"{registry}/{name}:{__version__}"


def pinned(reference: str) -> str:
    """Return an image by the digest that its registry has for it now. The engine asks; nothing is pulled.

    Raises:
        EnvironmentFailure: If the Python package docker is not installed, or no engine answers.
        MissingInputError: If the registry does not have the image, or refuses.
    """
    try:
        import docker as engine
    except ImportError as error:
        raise EnvironmentFailure(
            "A registry's digests must be asked for by the Python package docker; it is not installed.",
            "Install it with `pip install 'kfp-hallmark[docker]'`.",
        ) from error
    try:
        with contextlib.closing(engine.from_env()) as client:
            return f"{repository(reference)}@{client.images.get_registry_data(reference).id}"
    except engine.errors.APIError as error:
        raise MissingInputError(
            f"The image {reference!r} must be in its registry; the engine says: {error.explanation}.",
            "Run `hallmark image push`, and `docker login` where the registry wants to know who asks.",
        ) from error
    except (engine.errors.DockerException, OSError) as error:
        raise EnvironmentFailure(
            f"A registry's digests must be asked for by a Docker engine; none answers ({error}).",
            "Start the engine, or say in DOCKER_HOST where it is.",
        ) from error


def _created(client: str, reference: str) -> str:
    """Return when a local image was made, as text that sorts by time; empty if there is none."""
    command = [client, "image", "inspect", "--format", "{{.Created}}", reference]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def docker() -> str:
    """Return the docker client to build with.

    Raises:
        EnvironmentFailure: If none can build with BuildKit.
    """
    for candidate in _clients():
        # Asking for help fails when the client builds with buildx and lacks it.
        found = subprocess.run(
            [candidate, "build", "--help"], env=_environment(), capture_output=True, text=True, check=False
        )
        if found.returncode == 0 and "--secret" in found.stdout:
            return candidate
    raise EnvironmentFailure(
        "Images must be built by a docker client with BuildKit; none was found.",
        f"Install Docker with its buildx component, or name a client in {DOCKER_VARIABLE}.",
    )


def wheel(folder: Path) -> Path:
    """Write the wheel of the running package into a folder: built in a checkout, packed again from an installation.

    Raises:
        EnvironmentFailure: If it cannot be made.
    """
    try:
        root = checkout()
    except MissingInputError:
        return _repack(folder)
    return _build_wheel(root, folder)


def _clients() -> Iterator[str]:
    if chosen := os.environ.get(DOCKER_VARIABLE):
        yield chosen
        return
    for folder in os.get_exec_path():
        if found := shutil.which("docker", path=folder):
            yield found


def _environment() -> dict[str, str]:
    return os.environ | {"DOCKER_BUILDKIT": "1"}


def _run(command: list[str], report: Callable[[str], None], failure: str) -> None:
    lines = []
    with subprocess.Popen(
        command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            report(line.rstrip())
    if process.returncode != 0:
        raise EnvironmentFailure(f"{failure}; docker says:\n{''.join(lines[-20:]).strip()}")


def _build_wheel(root: Path, folder: Path) -> Path:
    """Build from a copy: a build leaves folders in its source, and the next one finds deleted modules there."""
    from uv import find_uv_bin

    with tempfile.TemporaryDirectory(prefix="hallmark-source-") as source:
        for name in _SOURCES:
            shutil.copytree(root / name, Path(source, name), ignore=shutil.ignore_patterns("__pycache__"))
        for name in _METADATA:
            shutil.copy(root / name, source)
        done = subprocess.run(
            [find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(folder), source],
            env=os.environ | {"SOURCE_DATE_EPOCH": _EPOCH},
            capture_output=True,
            text=True,
        )
    if done.returncode != 0:
        raise EnvironmentFailure(f"The wheel of kfp-hallmark must build; uv says:\n{done.stderr.strip()}")
    return next(folder.glob("*.whl"))


def _repack(folder: Path) -> Path:
    """Pack the installed package as the wheel that it came from, without what the installer added."""
    installed = metadata.distribution("kfp-hallmark")
    files = {
        str(path): Path(str(path.locate()))
        for path in installed.files or []
        if path.parts[0] != ".." and "__pycache__" not in path.parts
    }
    added = ("INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
    kept = sorted(name for name in files if not (".dist-info/" in name and name.endswith(added)))
    path = folder / f"kfp_hallmark-{installed.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in kept:
            content = files[name].read_bytes()
            if name.endswith(".dist-info/RECORD"):
                content = "".join(f"{entry},,\n" for entry in kept).encode()
            archive.writestr(zipfile.ZipInfo(name), content)
    return path
