"""Note every trial in MLflow as it ends, below one run, and find those of a search that was killed.

A trial's run is made in one call with a tag that holds the whole trial, so there is no half of one; metrics and
parameters, for people, follow. A search that is run again finds its run by the hash of all it depends on.

Two same searches may run at once, as when a step is begun anew while its first attempt still runs. They share one run
and note a trial once: MLflow has no unique key, so whoever made a trial's run looks which there are, and of several
deletes all but the one with the least id. Whoever made the last of them sees all, so just one stays.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kfp_hallmark import tracking
from kfp_hallmark.components.training.tune_model.trial import COMPLETE, FAILED, PRUNED, Trial

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

SEARCH_TAG = "hallmark.search"
TRIAL_TAG = "hallmark.trial"
KEY_TAG = "hallmark.trial_key"
STATE_TAG = "hallmark.trial_state"
STATUSES = {COMPLETE: "FINISHED", PRUNED: "KILLED", FAILED: "FAILED"}
"""What MLflow calls a run that ended as a trial did."""

MAX_VALUE = 6000
"""How many characters of a parameter's value MLflow keeps."""


@dataclass
class Ledger:
    """The runs of one search.

    Attributes:
        client: A client of the tracking store.
        experiment_id: The experiment.
        run_id: The run above those of the trials.
        metric: What the trials measure.
        trials: The trials that are noted, by search and place.
    """

    client: MlflowClient
    experiment_id: str
    run_id: str
    metric: str
    trials: dict[tuple[int, int], Trial] = field(default_factory=dict)

    @classmethod
    def open(cls, uri: str | None, experiment: str, search: str, metric: str, given: Mapping[str, Any]) -> Ledger:
        """Find the run of a search that did not end, with its trials, or make one.

        Where the platform names a run for the step, it stands below that one.

        Args:
            uri: The tracking store. Default: MLFLOW_TRACKING_URI.
            experiment: The experiment.
            search: The hash of all that the search depends on.
            metric: What the trials measure.
            given: What to log of the search.

        Raises:
            InputError: If no store is named.
            MissingInputError: If the store does not answer.
        """
        from mlflow.entities import Param

        client = tracking.client(tracking.tracking_uri(uri))
        folder = tracking.experiment(client, experiment)
        above = tracking.from_platform(tracking.RUN_VARIABLE, client.tracking_uri)
        with tracking.reaching(client.tracking_uri):
            if above is not None:
                folder = client.get_run(above).info.experiment_id
            with tracking.alone(client.tracking_uri):
                ledger = cls(client, folder, _search_run(client, folder, search), metric)
            client.log_batch(
                ledger.run_id, params=[Param(name, _text(value)[:MAX_VALUE]) for name, value in given.items()]
            )
            ledger._read()
            if above is not None:
                client.set_tag(ledger.run_id, tracking.PARENT_TAG, above)
        return ledger

    def _read(self) -> None:
        for run in tracking.runs_with_tag(self.client, self.experiment_id, tracking.PARENT_TAG, self.run_id):
            trial = Trial.from_text(run.data.tags.get(TRIAL_TAG, ""))
            if trial is None:
                continue
            if run.info.status == "RUNNING":
                self._describe(run, trial)
            self.trials[trial.search, trial.place] = trial

    def note(self, trial: Trial) -> None:
        """Note a trial that has ended, once, whoever else notes it."""
        if (trial.search, trial.place) in self.trials:
            return
        with tracking.reaching(self.client.tracking_uri):
            if not self._noted(trial):
                run = self._make(trial)
                if self._noted(trial) == [run.info.run_id]:
                    self._describe(run, trial)
        self.trials[trial.search, trial.place] = trial

    def _make(self, trial: Trial) -> Run:
        name = f"trial {trial.place}" if trial.search == 0 else f"outer fold {trial.search}, trial {trial.place}"
        tags = {
            tracking.PARENT_TAG: self.run_id,
            KEY_TAG: self._key(trial),
            TRIAL_TAG: trial.to_text(),
            STATE_TAG: trial.state,
        }
        started = int((time.time() - trial.seconds) * 1000)
        return self.client.create_run(self.experiment_id, start_time=started, tags=tags, run_name=name)

    def _key(self, trial: Trial) -> str:
        return f"{self.run_id} {trial.search} {trial.place}"

    def _noted(self, trial: Trial) -> list[str]:
        """Return the id of a trial's run, if there is one; of several all but one are deleted."""
        found = tracking.runs_with_tag(self.client, self.experiment_id, KEY_TAG, self._key(trial))
        kept, *others = sorted(run.info.run_id for run in found) or [None]
        for other in others:
            self.client.delete_run(other)
        return [] if kept is None else [kept]

    def _describe(self, run: Run, trial: Trial) -> None:
        """Log a trial's numbers; twice is as good as once, for the times are those of the trial."""
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        ended, run_id = run.info.start_time + round(trial.seconds * 1000), run.info.run_id
        metrics = [Metric(f"fold_{self.metric}", value, ended, step) for step, value in enumerate(trial.scores)]
        if trial.scores:
            metrics.append(Metric(self.metric, trial.score, ended, 0))
        params = [Param(name, str(value)[:MAX_VALUE]) for name, value in trial.parameters.items()]
        try:
            self.client.log_batch(run_id, metrics=metrics, params=params)
            if trial.problem:
                self.client.set_tag(run_id, "hallmark.problem", trial.problem)
            self.client.set_terminated(run_id, STATUSES[trial.state], end_time=ended)
        except MlflowException:
            if self.client.get_run(run_id).info.lifecycle_stage == "active":
                raise  # else another search, which notes the same trial, deleted this run and keeps its own

    def end(self, values: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Log what came out of the search, and end its run."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        with tracking.reaching(self.client.tracking_uri):
            self._read()  # whoever made a trial's run may have been killed before it was described
            self.client.log_batch(
                self.run_id,
                metrics=[Metric(name, value, now, 0) for name, value in values.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )
            self.client.set_terminated(self.run_id)


def _search_run(client: MlflowClient, folder: str, search: str) -> str:
    """Return the id of a search's run that did not end, or make one; of two that are made at once the first stays."""

    def unfinished() -> list[str]:
        found = tracking.runs_with_tag(client, folder, SEARCH_TAG, search)
        return [run.info.run_id for run in found if run.info.status != "FINISHED"]

    known = unfinished()
    if known:
        return known[0]
    made = str(client.create_run(folder, tags={SEARCH_TAG: search}, run_name="tune-model").info.run_id)
    first = unfinished()[0]
    if first != made:
        client.delete_run(made)
    return first


def _text(value: object) -> str:
    """Return a value as text that is the same whatever the order in which an orchestrator handed over an object."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else str(value)
