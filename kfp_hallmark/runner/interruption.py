"""Ctrl-C and SIGTERM: what runs is ended in an orderly way, and the run still closes its books."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

GRACE_SECONDS = 10.0
"""How long a step has to end after it was asked to, before it is killed."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_IGNORED = (signal.SIGHUP, signal.SIG_IGN)
_AGAIN, _DONE = b"!", b"."


class Interrupted(Exception):
    """A step was ended, or not begun, because the run was interrupted."""


class Running(Protocol):
    """Something that runs and can be ended."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


class Interruption:
    """Whether a run was interrupted; ends what runs when it is.

    The first signal ends the steps that run and lets none but exit handlers begin; a second one ends these too.

    Attributes:
        signals: The numbers of the signals that came.
    """

    def __init__(self) -> None:
        self.signals: list[int] = []
        self._running: dict[Running, bool] = {}
        self._changed = threading.Condition()
        self._asleep = threading.Event()
        self._reader, self._writer = -1, -1

    def stops(self, final: bool) -> bool:
        """Return whether a step must not go on; `final` says that it is an exit handler."""
        return len(self.signals) > (1 if final else 0)

    def sleep(self, seconds: float) -> None:
        """Sleep, unless the run is interrupted."""
        self._asleep.wait(seconds)

    @contextmanager
    def ending(self, running: Running, final: bool) -> Iterator[None]:
        """End `running` when the run is interrupted inside the block."""
        with self._changed:
            self._running[running] = final
        if self.stops(final):
            os.write(self._writer, _AGAIN)
        try:
            yield
        finally:
            with self._changed:
                del self._running[running]
                self._changed.notify_all()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the signals inside the block.

        Outside the main thread Python allows no handlers, and a signal has its usual effect.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._reader, self._writer = os.pipe()
        watcher = threading.Thread(target=self._watch, name="hallmark-interruption")
        watcher.start()
        # Under nohup a hang-up is ignored, and is to be.
        heard = [number for number in _SIGNALS if (number, signal.getsignal(number)) != _IGNORED]
        before = {number: signal.signal(number, self._on_signal) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.write(self._writer, _DONE)
            watcher.join()
            os.close(self._reader)
            os.close(self._writer)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Nothing that takes a lock: the main thread, which runs this, may hold it.
        self.signals.append(number)
        os.write(self._writer, _AGAIN)

    def _watch(self) -> None:
        while os.read(self._reader, 1) == _AGAIN:
            self._asleep.set()
            self._end()

    def _end(self) -> None:
        """Ask what must not go on to end, and kill what has not ended in time or after another signal."""
        with self._changed:
            asked = [running for running, final in self._running.items() if self.stops(final)]
            for running in asked:
                running.terminate()
            self._changed.wait_for(lambda: not set(asked) & set(self._running), timeout=GRACE_SECONDS)
            for running in set(asked) & set(self._running):
                running.kill()
