from typing import List

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from kfp_hallmark.component import component


@component(environment="ml", pure=True, size="medium")
def explain_model(
    model: Input[Model],
    dataset: Input[Dataset],
    importances: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    target: str,
    max_rows: int = 1000,
    local_explanations: int = 5,
    seed: int = 0,
    cohort_columns: List[str] = [],
    local_method: str = "shap",
):
    """Explain which features a model's predictions rest on, by SHAP values (Lundberg and Lee 2017).

    Trees and linear models are explained exactly, by their structure; any other model by its predictions alone.

    Args:
        model: MLflow model folder.
        dataset: Data to explain the model on.
        target: Label column, which is left out.
        max_rows: Number of rows to explain at the most; a sample is drawn when there are more, and the report says so.
        local_explanations: Number of single predictions to show, without anything that identifies a record.
        seed: Seed of the sample.
        cohort_columns: Columns of the dataset by whose values to tell importances too; a cohort of fewer than 20 of the
            explained rows is not told.
        local_method: How single predictions are explained: shap, or lime (Ribeiro and others 2016), which fits a linear
            model to the output near a record and tells how well it fits.

    Returns:
        importances: JSON, hallmark/importances/v1: feature to mean absolute SHAP value, the greatest first,
            overall, by predicted class when there are more than two, and by cohort.
        metrics: The hundred greatest as numbers, named by letters, digits and underscores.
        report: HTML page with the importances, their directions, and single predictions.

    Raises:
        InputError: If the dataset lacks a feature of the model or a cohort column, or there is no such method.
        IntegrityError: If an input was changed since it was written.
    """
    from kfp_hallmark.components.evaluation.explain_model.explain import explain

    explain(
        model,
        dataset,
        importances,
        metrics,
        report,
        target,
        max_rows,
        local_explanations,
        seed,
        cohort_columns,
        local_method,
    )
