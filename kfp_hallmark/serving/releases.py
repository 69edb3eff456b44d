"""What a release document names: verified, loaded, and followed when the document changes.

Nothing is loaded, and so no code in a model is run, before the release, its decision, the evidence and the model's
files are held against one another. A decision must have held when the release was deployed: verdicts grow old, and
what was deployed in time goes on serving, after a restart too.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TypeVar

from kfp_hallmark.contracts.decision import CLOCK_SKEW_HOURS, require_release
from kfp_hallmark.contracts.documents import now, parse_time
from kfp_hallmark.contracts.release import RELEASE_FILE, Release
from kfp_hallmark.errors import HallmarkError, IntegrityError, MissingInputError
from kfp_hallmark.modeling.loading import load_model
from kfp_hallmark.modeling.prediction import origin
from kfp_hallmark.serving.metrics import Metrics
from kfp_hallmark.serving.predictor import Predictor, Together
from kfp_hallmark.serving.protocols import Identity

POLL_SECONDS = 0.5
"""How often the release document is looked at."""

RETRY_SECONDS = 15.0
"""After how long a refused release is tried again, for a folder that is copied may not be whole yet."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A release that can answer.

    Attributes:
        release: The release.
        predictor: Its model.
        together: Predicts what arrives at once together.
        loaded: When it was loaded, ISO 8601 in UTC.
    """

    release: Release
    predictor: Predictor
    together: Together
    loaded: str = field(default_factory=now)

    @property
    def identity(self) -> Identity:
        """Which model answers."""
        return Identity(self.release.name, self.release.version)


def require_folder(folder: Path) -> None:
    """Raise unless a folder is one that `deploy_model` filled.

    Raises:
        MissingInputError: If it is not, with the folders below it that are.
    """
    if (folder / RELEASE_FILE).is_file():
        return
    below = sorted(file.parent.name for file in folder.glob(f"*/{RELEASE_FILE}"))
    hint = f"It holds {', '.join(below)}: name one of them." if below else "Deploy a model there with deploy_model."
    raise MissingInputError(f"The folder to serve must hold {RELEASE_FILE}; {str(folder)!r} does not.", hint)


def verify(folder: Path) -> Release:
    """Return the release in a folder when it, its decision and its model belong together and the decision held.

    Raises:
        ReleaseRefused: If the decision was not to release, or was stale when the release was deployed.
        IntegrityError: If anything is not what it should be.
        MissingInputError: If anything is not there.
    """
    release = Release.read(folder / RELEASE_FILE)
    deployed = parse_time(release.deployed)
    if deployed > datetime.now(UTC) + timedelta(hours=CLOCK_SKEW_HOURS):
        raise IntegrityError(f"The release must not be from the future; it was deployed {release.deployed}.")
    decision = require_release(folder / release.decision, folder / release.path, release.decision_digest, deployed)
    if decision.model.files != release.model.files:
        raise IntegrityError(
            f"The release must be of the model that was decided on, {decision.model.digest}; "
            f"got {release.model.digest}."
        )
    return release


def load(folder: Path) -> Served:
    """Verify and load the release in a folder.

    Raises:
        HallmarkError: As `verify`, and an InputError if the model cannot be loaded or served.
    """
    release = verify(folder)
    predictor = Predictor(load_model(folder / release.path, release.model.digest))
    return Served(release, predictor, Together(predictor))


class Releases:
    """The release that serves, and what became of the one that should.

    Attributes:
        served: What serves; None before the first is loaded.
        failure: Why the release that the document names does not serve; None when it does.
    """

    def __init__(self, folder: Path, metrics: Metrics, switched: Callable[[Served], None]) -> None:
        self.served: Served | None = None
        self.failure: str | None = None
        self._folder = folder
        self._metrics = metrics
        self._switched = switched
        # One of its own, for the event loop waits for its common threads before it ends.
        self._thread = ThreadPoolExecutor(1)
        self._seen: tuple[int, ...] | None = None
        self._retry_at = 0.0

    async def first(self) -> bool:
        """Load the first release, and return whether it serves; if not, the log says why."""
        self._seen = await self._aside(self._mark)
        try:
            self._serve(await self._aside(lambda: load(self._folder)))
        except Exception as error:
            self._refuse(error)
        return self.served is not None

    async def follow(self) -> None:
        """Look at the document again and again, and load what it names when it has changed."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Load what the document names if it has changed, or was refused a while ago; the former release serves on."""
        mark = await self._aside(self._mark)
        if mark == self._seen and (self.failure is None or monotonic() < self._retry_at):
            return
        self._seen = mark
        try:
            if await self._aside(self._is_served):
                self.failure = None
                self._metrics.settled()
                return
            self._serve(await self._aside(lambda: load(self._folder)))
        except Exception as error:
            self._refuse(error)

    async def _aside(self, function: Callable[[], T]) -> T:
        """Call what reads the folder in a thread: a disk, or a network, that hangs holds up no request."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _mark(self) -> tuple[int, ...] | None:
        """Return what changes whenever the document is replaced."""
        try:
            found = (self._folder / RELEASE_FILE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _is_served(self) -> bool:
        """Tell whether the document names the release that serves."""
        if self.served is None:
            return False
        return Release.read(self._folder / RELEASE_FILE).reference == self.served.release.reference

    def _serve(self, served: Served) -> None:
        former = None if self.served is None else self.served.release
        self.served, self.failure = served, None
        self._metrics.switched(former, served.release)
        self._switched(served)
        release = served.release
        _log.info("Serving %s version %s, %s.", release.name, release.version, release.model.digest)
        if served.predictor.features is None:
            _log.info("The model is given data frames: its preprocessing is not one that train_model makes.")

    def _refuse(self, error: Exception) -> None:
        known = isinstance(error, HallmarkError)
        failure = error.message if isinstance(error, HallmarkError) else f"{type(error).__name__} {origin(error)}"
        self._retry_at = monotonic() + RETRY_SECONDS
        if failure != self.failure:
            self.failure = failure
            self._metrics.refused()
            _log.error("A release was refused%s: %s", "" if known else " for a fault in the runtime", failure)


def folder_of(path: str | os.PathLike[str]) -> Path:
    """Return the folder to serve as an absolute path.

    Raises:
        MissingInputError: If it holds no release.
    """
    folder = Path(path).absolute()
    require_folder(folder)
    return folder
