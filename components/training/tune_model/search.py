"""Search: propose, try and note, with several trials on the way at once and the same outcome whatever the cores.

With `width` trials on the way, trial n is proposed from the outcomes of the trials up to n - width and from the
parameters alone of those between, whether these have ended by then or not. So it depends on the seed and the data, and
not on which process was faster, how many there are, or whether the search was killed and taken up again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from kfp_hallmark.components.training.tune_model.ledger import Ledger
from kfp_hallmark.components.training.tune_model.pool import Submit
from kfp_hallmark.components.training.tune_model.space import propose
from kfp_hallmark.components.training.tune_model.trial import FAILED, Trial
from kfp_hallmark.components.training.tune_model.work import Task, Work
from kfp_hallmark.errors import InputError


@dataclass(frozen=True)
class Budget:
    """How much to search, and how.

    Attributes:
        trials: How many proposals to try, beside the estimator as it is given.
        width: How many trials are on the way at once.
        sampler: What proposes.
        seed: Its seed.
    """

    trials: int
    width: int
    sampler: str
    seed: int


@dataclass
class Search:
    """One search.

    Attributes:
        number: Its number; see `Trial.search`.
        work: What all trials share.
        budget: How much to search.
        submit: What has a task done.
        ledger: Where trials are noted.
    """

    number: int
    work: Work
    budget: Budget
    submit: Submit
    ledger: Ledger
    ended: list[Trial] = field(default_factory=list)
    waiting: deque[tuple[Trial, Future[Trial]]] = field(default_factory=deque)

    def run(self) -> list[Trial]:
        """Return all trials in the order of their places.

        Raises:
            InputError: If the estimator fails as it is given, before anything is proposed.
            EnvironmentFailure: If a process was killed, as for lack of memory.
        """
        for place in range(self.budget.trials + 1):
            while len(self.waiting) >= self.budget.width:
                self._gather()
            self._start(place)
        while self.waiting:
            self._gather()
        return self.ended

    def _start(self, place: int) -> None:
        known = proposals(self.ended)
        stored = self.ledger.trials.get((self.number, place))
        if stored is not None:
            future: Future[Trial] = Future()
            future.set_result(stored)
            self.waiting.append((stored, future))
            return
        parameters = {}
        if place:
            pending = proposals([trial for trial, _ in self.waiting])
            budget = self.budget
            parameters = propose(self.work.space, budget.sampler, budget.seed, place, known, pending, self.work.greater)
        trial = Trial(self.number, place, parameters)
        numbers = self.work.folds[self.number].numbers
        self.waiting.append((trial, self.submit(Task(trial, numbers, tuple(known) if place else ()))))

    def _gather(self) -> None:
        """Wait for the first trial on the way, and note whichever end meanwhile."""
        while not self.waiting[0][1].done():
            open_ones = [future for _, future in self.waiting if not future.done()]
            for future in wait(open_ones, return_when=FIRST_COMPLETED).done:
                self.ledger.note(result_of(future))
        trial = result_of(self.waiting.popleft()[1])
        self.ledger.note(trial)
        self.ended.append(trial)


def result_of(future: Future[Trial]) -> Trial:
    """Return a trial that has ended.

    Raises:
        InputError: If it was the estimator as it is given, and failed.
        EnvironmentFailure: If its process was killed.
    """
    trial = future.result()
    if trial.place == 0 and trial.state == FAILED:
        raise InputError(f"The estimator must work as it is given, before its parameters are searched. {trial.problem}")
    return trial


def proposals(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials whose parameters were proposed: all but the estimator as it is given."""
    return [trial for trial in trials if trial.place > 0]
