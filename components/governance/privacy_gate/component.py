from typing import Dict, NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Input, Model, Output

from kfp_hallmark.component import component


@component(environment="release", idempotent=True, size="small")
def privacy_gate(
    model: Input[Model],
    verdict: Output[Artifact],
    report: Output[HTML],
    limits: Dict = {},
    privacy: Dict = {},
    ledger_hash: Optional[str] = None,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge what a model, and all that was trained on the same people before it, spent of their privacy.

    A model without differential privacy fails, and so does one that the ledger does not know. A ledger that is lost,
    unreadable or changed fails it too: what was spent is not known. Where neither privacy nor limits are given, no
    privacy was asked for: a model that promises none passes, and one that does fails.

    Args:
        model: MLflow model folder; it is not loaded.
        limits: Limit to value: max_epsilon and max_delta over all trainings in the ledger, added up, by default the
            epsilon and delta of privacy; max_model_epsilon and max_model_delta of this model, by default not limited.
        privacy: What train_model took for privacy. Its ledger is read: a path on this machine or a mounted volume, by
            default HALLMARK_PRIVACY_LEDGER.
        ledger_hash: Hash of a line that the ledger must hold, kept from an earlier report; it shows that the ledger was
            not cut or replaced since.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page with each training.
        status: pass or fail.

    Raises:
        InputError: If a limit is unknown, missing or not above 0, or no ledger is named.
        MissingInputError: If the model is no model folder.
        IntegrityError: If the model was changed since it was written.
    """
    from kfp_hallmark.components.governance.privacy_gate.privacy import judge_privacy

    return judge_privacy(model, verdict, report, limits, privacy, ledger_hash)
