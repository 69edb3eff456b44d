from typing import NamedTuple, Optional

from kfp.dsl import HTML, Artifact, Input, Model, Output

from kfp_hallmark.component import component


@component(environment="release", idempotent=True, size="small")
def privacy_gate(
    model: Input[Model],
    verdict: Output[Artifact],
    report: Output[HTML],
    max_epsilon: float,
    max_delta: float,
    max_model_epsilon: Optional[float] = None,
    max_model_delta: Optional[float] = None,
    ledger: Optional[str] = None,
    ledger_hash: Optional[str] = None,
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge what a model, and all that was trained on the same people before it, spent of their privacy.

    A model without differential privacy fails, and so does one that the ledger does not know. A ledger that is lost,
    unreadable or changed fails it too: what was spent is not known.

    Args:
        model: MLflow model folder; it is not loaded.
        max_epsilon: Limit of epsilon over all trainings in the ledger, added up.
        max_delta: Limit of delta over all trainings in the ledger, added up.
        max_model_epsilon: Limit of epsilon of this model. Default: none of its own.
        max_model_delta: Limit of delta of this model. Default: none of its own.
        ledger: Path of the ledger on this machine or a mounted volume. Default: HALLMARK_PRIVACY_LEDGER.
        ledger_hash: Hash of a line that the ledger must hold, kept from an earlier report; it shows that the ledger was
            not cut or replaced since.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page with each training.
        status: pass or fail.

    Raises:
        InputError: If a limit is not above 0, or no ledger is named.
        MissingInputError: If the model is no model folder.
        IntegrityError: If the model was changed since it was written.
    """
    from kfp_hallmark.components.governance.privacy_gate.privacy import judge_privacy

    return judge_privacy(
        model,
        verdict,
        report,
        {
            "max_epsilon": max_epsilon,
            "max_delta": max_delta,
            "max_model_epsilon": max_model_epsilon,
            "max_model_delta": max_model_delta,
        },
        ledger,
        ledger_hash,
    )
