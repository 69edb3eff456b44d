"""The environments as virtual environments on this machine, made once from their locks and kept by the locks' digests.

They live below `HALLMARK_ENVIRONMENTS`, or in the user's cache folder. Beside them lies the code path: a folder of
links by which a step of any environment imports the package that is running.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from kfp_hallmark.contracts.experiment import DIGEST_VARIABLE
from kfp_hallmark.environments import ENVIRONMENTS, lock_digest, lock_file
from kfp_hallmark.errors import EnvironmentFailure
from kfp_hallmark.resources import PACKAGE

PYTHON = "3.11"
"""The Python of every environment."""

NAME_VARIABLE = "HALLMARK_ENVIRONMENT"
"""The variable in which a command finds the name of the environment that it runs in."""

FOLDER_VARIABLE = "HALLMARK_ENVIRONMENTS"

State = Literal["ready", "missing", "broken"]

_MARKER = "hallmark.json"
_CODE = "code"
_OPENMP = Path("lib", "openmp")
_ran: set[Path] = set()


@dataclass(frozen=True)
class LocalEnvironment:
    """One environment as this machine has it.

    Attributes:
        name: `data`, `ml` or `release`.
        folder: Where it is, or would be.
        state: `ready`, `missing`, or `broken`: half made, changed, or with a Python that does not run.
        digest: The digest of its lock, as `sha256:<64 hex digits>`.
        packages: How many packages the lock installs.
        stale: Folders of the same environment made from other locks.
    """

    name: str
    folder: Path
    state: State
    digest: str
    packages: int
    stale: tuple[Path, ...]

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return _python(self.folder)


def ensure(name: str, report: Callable[[str], None] = lambda line: None) -> Path:
    """Return the path of an environment's Python, and make the environment when it is missing or broken.

    Args:
        name: `data`, `ml` or `release`.
        report: Called with a line when there is something to make, for it takes minutes.

    Raises:
        InputError: If there is no such environment.
        EnvironmentFailure: If it cannot be made; the message says what to do.
    """
    folder = environment_folder(name)
    if _whole(folder):
        return _python(folder)
    with _alone(folder, lambda: report(f"Waiting for another process that makes the environment {name}.")) as lock:
        if not _whole(folder):
            report(f"Making the environment {name}: {packages(name)} packages, once.")
            _make(name, folder, lock)
    return _python(folder)


def environment_folder(name: str) -> Path:
    """Return the folder that an environment is in, or would be: its name says the lock that it is made from.

    Raises:
        InputError: If there is no such environment.
    """
    return root() / f"{name}-{lock_digest(name).removeprefix('sha256:')[:12]}-py{PYTHON.replace('.', '')}"


def root() -> Path:
    """Return the folder of all local environments: `HALLMARK_ENVIRONMENTS`, or one in the user's cache."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen).expanduser().absolute()
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "hallmark" / "environments"
    cache_of_system = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return Path.home() / cache_of_system / "hallmark" / "environments"


def packages(name: str) -> int:
    """Return how many packages an environment's lock names."""
    return sum("==" in line and not line.startswith((" ", "#")) for line in lock_file(name).read_text().splitlines())


def look(name: str) -> LocalEnvironment:
    """Return an environment as this machine has it, without making anything.

    Raises:
        InputError: If there is no such environment.
    """
    folder = environment_folder(name)
    state: State = "missing"
    if folder.exists():
        state = "ready" if _whole(folder) else "broken"
    copies = sorted(path for path in root().glob(f"{name}-*") if path.is_dir() and path != folder)
    return LocalEnvironment(name, folder, state, lock_digest(name), packages(name), tuple(copies))


def prune() -> list[Path]:
    """Remove the environments made from other locks and the code paths of other installations; return their folders.

    A run of another version of Hallmark that still uses one of them makes it again.
    """
    current = [environment_folder(name) for name in ENVIRONMENTS] + [code_path()]
    ours = re.compile(rf"({'|'.join(ENVIRONMENTS)})-[0-9a-f]{{12}}-py\d+|{_CODE}-[0-9a-f]{{12}}")
    stale = sorted(path for path in root().iterdir() if ours.fullmatch(path.name) and path not in current)
    for folder in stale:
        with _alone(folder):
            shutil.rmtree(folder)
    return stale


def variables(name: str) -> dict[str, str]:
    """Return the environment variables that a command of an environment runs with, over those of this process."""
    folder = environment_folder(name)
    return {
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": str(folder),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), str(folder / _OPENMP)])),
        "PYTHONPATH": str(code_path()),
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONHASHSEED": "0",
        NAME_VARIABLE: name,
        DIGEST_VARIABLE: lock_digest(name),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "_KFP_RUNTIME": "true",
    }


def code_path() -> Path:
    """Return a folder that holds nothing but the running `kfp_hallmark`, to be a step's `PYTHONPATH`.

    A step needs the package without the rest of the SDK's environment, and in a checkout `components/` and
    `pipelines/` lie outside the package; so the folder holds links to the parts. The links decide its name: a new
    module gives a new folder, and steps that are running keep theirs.
    """
    links = _links()
    key = hashlib.sha256(repr(sorted(links.items())).encode()).hexdigest()[:12]
    folder = root() / f"{_CODE}-{key}"
    if not _linked(folder, links):
        with _alone(folder):
            if not _linked(folder, links):
                _link(folder, links)
    return folder


def _links() -> dict[str, str]:
    parts = {path.name: str(path) for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    for name in ("components", "pipelines"):
        spec = find_spec(f"kfp_hallmark.{name}")
        if spec is None or not spec.submodule_search_locations:
            raise EnvironmentFailure(f"kfp_hallmark must be installed with its folder {name!r}; it is not there.")
        parts[name] = str(Path(spec.submodule_search_locations[0]).resolve())
    return parts


def _linked(folder: Path, links: dict[str, str]) -> bool:
    try:
        return all((folder / "kfp_hallmark" / name).readlink() == Path(target) for name, target in links.items())
    except OSError:
        return False


def _link(folder: Path, links: dict[str, str]) -> None:
    package = folder / "kfp_hallmark"
    shutil.rmtree(folder, ignore_errors=True)
    package.mkdir(parents=True)
    for name, target in links.items():
        (package / name).symlink_to(target)


@contextmanager
def _alone(folder: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold a folder's lock and give its descriptor; it is freed when its holders end, however they end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _site_packages(folder: Path) -> Path:
    return folder / "lib" / f"python{PYTHON}" / "site-packages"


def _contents(folder: Path) -> list[str]:
    """Return the names of what is installed in an environment."""
    return sorted(entry.name for entry in os.scandir(_site_packages(folder)) if entry.name != "__pycache__")


def _whole(folder: Path) -> bool:
    """Tell whether an environment was finished, holds what it held then, and has a Python that runs."""
    try:
        if json.loads((folder / _MARKER).read_text())["contents"] != _contents(folder):
            return False
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return _runs(_python(folder))


def _runs(python: Path) -> bool:
    """Tell whether a Python runs; tried once per process, for it takes a hundredth of a second."""
    if not os.access(python, os.X_OK):
        return False
    if python not in _ran:
        try:
            subprocess.run([python, "-I", "-S", "-c", ""], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return False
        _ran.add(python)
    return True


def _make(name: str, folder: Path, lock: int) -> None:
    """Make an environment in its place. The marker comes last: without it, the folder counts as broken."""
    shutil.rmtree(folder, ignore_errors=True)
    _uv(
        ["venv", "--quiet", "--no-project", "--python", PYTHON, str(folder)],
        f"The environment {name} must have Python {PYTHON}, which uv could neither find nor fetch",
        f"Install Python {PYTHON} so that `python{PYTHON}` is on PATH, or give uv access to its downloads "
        "(HTTPS_PROXY, or UV_PYTHON_INSTALL_MIRROR for a mirror), and run again.",
        lock,
    )
    # Compiled now, for a step that imports thousands of modules may run where Python writes no bytecode.
    requirements = ["--no-deps", "--no-build", "--compile-bytecode", "--require-hashes", "-r", str(lock_file(name))]
    _uv(
        ["pip", "install", "--quiet", "--python", str(_python(folder)), *requirements],
        f"The packages of the environment {name} must install from its lock; they did not",
        "Check the access to PyPI (UV_DEFAULT_INDEX for a mirror, SSL_CERT_FILE for a private certificate) and the "
        f"free space below {root()}, and run `hallmark env sync {name}`.",
        lock,
    )
    _lend_openmp(folder)
    marker = {"environment": name, "lock": lock_digest(name), "contents": _contents(folder)}
    (folder / _MARKER).write_text(json.dumps(marker) + "\n")


def _lend_openmp(folder: Path) -> None:
    """Lend scikit-learn's OpenMP library to LightGBM, which looks for the system's: a bare machine has none."""
    for library in _site_packages(folder).glob("scikit_learn.libs/libgomp-*.so.1*"):
        (folder / _OPENMP).mkdir()
        (folder / _OPENMP / "libgomp.so.1").symlink_to(library)


def _uv(arguments: list[str], failure: str, hint: str, lock: int) -> None:
    """Run the uv that is installed with the SDK, whatever is on PATH.

    It holds the lock too: should this process be killed, nobody makes the environment anew before uv has ended.
    """
    from uv import find_uv_bin

    done = subprocess.run(
        [find_uv_bin(), *arguments],
        cwd=root(),
        pass_fds=[lock],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise EnvironmentFailure(f"{failure}; uv says:\n{done.stderr.strip()}", hint)
