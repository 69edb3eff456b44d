"""Log a finished training to MLflow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfp_hallmark import tracking

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MAX_PARAMETER = 6000
"""How many characters of a parameter's value MLflow keeps."""


@dataclass(frozen=True)
class Store:
    """The MLflow store that a run goes to.

    Attributes:
        client: Its client.
        experiment_id: The experiment for a run of our own.
        run_id: The run to join; None makes one.
    """

    client: MlflowClient
    experiment_id: str
    run_id: str | None

    @classmethod
    def open(cls, uri: str | None, experiment: str) -> Store:
        """Reach the store before anything is trained.

        Raises:
            InputError: If no store is named.
            MissingInputError: If the store, or the run to join, is not there.
        """
        client = tracking.client(tracking.tracking_uri(uri))
        run_id = tracking.from_platform(tracking.RUN_VARIABLE, client.tracking_uri)
        if run_id is None:
            return cls(client, tracking.experiment(client, experiment), None)
        with tracking.reaching(client.tracking_uri):
            return cls(client, client.get_run(run_id).info.experiment_id, run_id)

    def log(
        self,
        started: float,
        name: str,
        given: dict[str, Any],
        parameters: dict[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> str:
        """Log a finished training and return its run's id.

        A run that was joined is the platform's, which ends it and logs what the step was given: were that logged here
        too, in another form, MLflow would refuse all that the platform logs.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        with tracking.reaching(self.client.tracking_uri):
            run_id = self.run_id
            if run_id is None:
                parameters = given | parameters
                run = self.client.create_run(self.experiment_id, start_time=int(started * 1000), run_name=name)
                run_id = str(run.info.run_id)
            self.client.log_batch(
                run_id,
                metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
                params=[Param(key, str(value)[:MAX_PARAMETER]) for key, value in parameters.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
            if self.run_id is None:
                self.client.set_terminated(run_id)
        return run_id
