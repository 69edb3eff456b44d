from typing import Dict, Optional

from kfp.dsl import PipelineTaskFinalStatus

from kfp_hallmark.component import component


@component(environment="release", size="small")
def record_run(
    status: PipelineTaskFinalStatus,
    pipeline: str,
    run_id: str,
    data_uri: Optional[str] = None,
    model_name: Optional[str] = None,
    parameters: Dict = {},
    audit_log: Optional[str] = None,
    experiment: Optional[str] = None,
    tracking_uri: Optional[str] = None,
):
    """Append the end of a run to the hash-chained audit log; an exit handler, so it runs in success and failure alike.

    With an experiment, the run's end is written to its MLflow run too, which is made where log_run made none. That the
    tracking server does not answer is told, and does not fail the step: the audit log is the record.

    Args:
        status: How the run ended; KFP gives it.
        pipeline: The pipeline's name.
        run_id: The run, as the platform names it.
        data_uri: The data of the run, which is recorded as a parameter of this name.
        model_name: The model of the run, likewise.
        parameters: What else to record, names and values: a constant, or one parameter as a whole. On a cluster, KFP
            pastes a text that is put into a dictionary without escaping it.
        audit_log: Path of the log on this machine or a mounted volume. Default: HALLMARK_AUDIT_LOG.
        experiment: MLflow experiment in which log_run logs. Default: MLflow is not told.
        tracking_uri: MLflow tracking server or store. Default: MLFLOW_TRACKING_URI.

    Raises:
        InputError: If there is no path, or it is a URI.
        IntegrityError: If the log's chain is broken; nothing is appended to it.
    """
    from kfp_hallmark.components.governance.record_run.record import record

    record(status, pipeline, run_id, data_uri, model_name, parameters, audit_log, experiment, tracking_uri)
