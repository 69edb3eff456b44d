from typing import NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Input, Metrics

from kfp_hallmark.component import component


@component(environment="release", idempotent=True, size="small")
def log_run(
    pipeline: str,
    run_id: str,
    decision: Input[Artifact],
    training_metrics: Input[Metrics] = None,
    evaluation_metrics: Input[Metrics] = None,
    explanation_metrics: Input[Metrics] = None,
    dataset_report: Input[HTML] = None,
    evaluation_report: Input[HTML] = None,
    performance_report: Input[HTML] = None,
    fairness_report: Input[HTML] = None,
    robustness_report: Input[HTML] = None,
    explanation_report: Input[HTML] = None,
    explanation_gate_report: Input[HTML] = None,
    privacy_report: Input[HTML] = None,
    decision_report: Input[HTML] = None,
    model_card: Input[HTML] = None,
    training_run_id: Optional[str] = None,
    experiment: str = "hallmark",
    tracking_uri: Optional[str] = None,
) -> NamedTuple("Outputs", [("parent_run_id", str)]):
    """Log what a pipeline run's steps found to MLflow: one parent run, and below it one run for each step.

    Where the platform gives steps MLflow runs of their own, they are logged to; everywhere else the parent is found by
    the tag hallmark.pipeline_run, or made, and record_run ends it. A step that was logged is not logged again.

    Args:
        pipeline: The pipeline's name.
        run_id: The pipeline run, as the platform names it.
        decision: What decide_release wrote; it holds the verdict of every gate.
        training_metrics: Metrics of train_model.
        evaluation_metrics: Metrics of evaluate_model.
        explanation_metrics: Metrics of explain_model.
        dataset_report: Report of validate_dataset.
        evaluation_report: Report of evaluate_model.
        performance_report: Report of performance_gate.
        fairness_report: Report of fairness_gate.
        robustness_report: Report of robustness_gate.
        explanation_report: Report of explain_model.
        explanation_gate_report: Report of explanation_gate.
        privacy_report: Report of privacy_gate.
        decision_report: Report of decide_release.
        model_card: Card of write_model_card.
        training_run_id: The MLflow run of train_model, which is put below the parent unless another run's has it.
        experiment: MLflow experiment, unless the platform names one.
        tracking_uri: MLflow tracking server or store. Default: MLFLOW_TRACKING_URI.

    Returns:
        parent_run_id: The MLflow run above those of the steps.

    Raises:
        MissingInputError: If the tracking server does not answer.
        IntegrityError: If the decision was changed since it was written.
    """
    from kfp_hallmark.components.governance.log_run.log import log

    return log(
        pipeline,
        run_id,
        decision,
        {
            "train_model": training_metrics,
            "evaluate_model": evaluation_metrics,
            "explain_model": explanation_metrics,
        },
        {
            "validate_dataset": dataset_report,
            "evaluate_model": evaluation_report,
            "performance_gate": performance_report,
            "fairness_gate": fairness_report,
            "robustness_gate": robustness_report,
            "explain_model": explanation_report,
            "explanation_gate": explanation_gate_report,
            "privacy_gate": privacy_report,
            "decide_release": decision_report,
            "write_model_card": model_card,
        },
        training_run_id,
        experiment,
        tracking_uri,
    )
