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

    Returns:
        importances: JSON, hallmark/importances/v1: feature to mean absolute SHAP value, the greatest first.
        metrics: The hundred greatest as numbers, named by letters, digits and underscores.
        report: HTML page with the importances, their directions, and single predictions.

    Raises:
        InputError: If the dataset lacks a feature of the model.
        IntegrityError: If an input was changed since it was written.
    """
    from kfp_hallmark.components.evaluation.explain_model.explain import explain

    explain(model, dataset, importances, metrics, report, target, max_rows, local_explanations, seed)
