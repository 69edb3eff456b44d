"""The environments as container images: one Dockerfile for all, with the same locks as the local environments."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from kfp_hallmark import __version__
from kfp_hallmark.environments import image, lock_digest, lock_file, require_environment
from kfp_hallmark.errors import EnvironmentFailure, MissingInputError
from kfp_hallmark.resources import checkout, resource

DOCKER_VARIABLE = "HALLMARK_DOCKER"
"""The docker client to build with. Default: the first on PATH that can build with BuildKit."""

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
        arguments = {"ENVIRONMENT": name, "VERSION": __version__, "LOCK_DIGEST": lock_digest(name)}
        if base:
            arguments["BASE_IMAGE"] = base
        command = [client, "build", "--progress", "plain", "--network", "host", "--tag", image(name)]
        command += [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
        command += ["--secret", f"id=ca,src={ca}"] if ca else []
        _run([*command, folder], report, f"The image of the environment {name} must build; it did not")
    return image(name)


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
