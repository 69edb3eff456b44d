"""Note every trial in MLflow as it ends, below one run, and find those of a search that was killed.

A trial's run is made in one call with a tag that holds the whole trial, so there is no half of one; metrics and
parameters, for people, follow. A search that is run again finds its run by the hash of all it depends on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kfp_hallmark import tracking
from kfp_hallmark.components.training.tune_model.trial import COMPLETE, FAILED, PRUNED, Trial

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SEARCH_TAG = "hallmark.search"
TRIAL_TAG = "hallmark.trial"
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
            found = tracking.runs_with_tag(client, folder, SEARCH_TAG, search)
            unfinished = [run.info.run_id for run in found if run.info.status != "FINISHED"]
            if unfinished:
                ledger = cls(client, folder, unfinished[-1], metric)
                ledger._read()
            else:
                run = client.create_run(folder, tags={SEARCH_TAG: search}, run_name="tune-model")
                ledger = cls(client, folder, run.info.run_id, metric)
                params = [Param(name, str(value)[:MAX_VALUE]) for name, value in given.items()]
                client.log_batch(ledger.run_id, params=params)
            if above is not None:
                client.set_tag(ledger.run_id, tracking.PARENT_TAG, above)
        return ledger

    def _read(self) -> None:
        for run in tracking.runs_with_tag(self.client, self.experiment_id, tracking.PARENT_TAG, self.run_id):
            trial = Trial.from_text(run.data.tags.get(TRIAL_TAG, ""))
            if trial is None:
                continue
            if run.info.status == "RUNNING":
                self._describe(run.info.run_id, trial)
            self.trials[trial.search, trial.place] = trial

    def note(self, trial: Trial) -> None:
        """Note a trial that has ended, once."""
        key = (trial.search, trial.place)
        if key in self.trials:
            return
        name = f"trial {trial.place}" if trial.search == 0 else f"outer fold {trial.search}, trial {trial.place}"
        tags = {tracking.PARENT_TAG: self.run_id, TRIAL_TAG: trial.to_text(), STATE_TAG: trial.state}
        started = int((time.time() - trial.seconds) * 1000)
        with tracking.reaching(self.client.tracking_uri):
            run = self.client.create_run(self.experiment_id, start_time=started, tags=tags, run_name=name)
            self._describe(run.info.run_id, trial)
        self.trials[key] = trial

    def _describe(self, run_id: str, trial: Trial) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        metrics = [Metric(f"fold_{self.metric}", value, now, step) for step, value in enumerate(trial.scores)]
        if trial.scores:
            metrics.append(Metric(self.metric, trial.score, now, 0))
        params = [Param(name, str(value)[:MAX_VALUE]) for name, value in trial.parameters.items()]
        self.client.log_batch(run_id, metrics=metrics, params=params)
        if trial.problem:
            self.client.set_tag(run_id, "hallmark.problem", trial.problem)
        self.client.set_terminated(run_id, STATUSES[trial.state])

    def end(self, values: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Log what came out of the search, and end its run."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        with tracking.reaching(self.client.tracking_uri):
            self.client.log_batch(
                self.run_id,
                metrics=[Metric(name, value, now, 0) for name, value in values.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )
            self.client.set_terminated(self.run_id)
