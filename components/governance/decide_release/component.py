from typing import List, NamedTuple

from kfp.dsl import HTML, Artifact, Input, Model, Output

from kfp_hallmark.component import component


@component(environment="release", idempotent=True, size="small")
def decide_release(
    model: Input[Model],
    decision: Output[Artifact],
    report: Output[HTML],
    dataset_verdict: Input[Artifact] = None,
    performance_verdict: Input[Artifact] = None,
    fairness_verdict: Input[Artifact] = None,
    robustness_verdict: Input[Artifact] = None,
    explanation_verdict: Input[Artifact] = None,
    additional_verdicts: Input[Artifact] = None,
    required_gates: List[str] = [
        "validate_dataset",
        "performance_gate",
        "fairness_gate",
        "robustness_gate",
        "explanation_gate",
    ],
    allow_warnings: bool = True,
    max_age_hours: float = 24.0,
) -> NamedTuple("Outputs", [("outcome", str)]):
    """Gather the verdicts on a model into one decision: release or halt.

    Everything fails closed: a missing, unreadable, stale or inconclusive verdict is no pass, and neither is one on
    another model or other data.

    Args:
        model: The model that was judged.
        dataset_verdict: Verdict on its data.
        performance_verdict: Verdict on its performance.
        fairness_verdict: Verdict on its fairness.
        robustness_verdict: Verdict on its robustness.
        explanation_verdict: Verdict on what its predictions rest on.
        additional_verdicts: Verdict of a gate of the user's own, or a folder of such.
        required_gates: Gates without whose pass there is no release; a pipeline that leaves one out says so here.
        allow_warnings: Whether a verdict of warn counts as passed.
        max_age_hours: Age of a verdict, in hours, above which it is stale.

    Returns:
        decision: Folder, hallmark/decision/v1: decision.json and the evidence.
        report: HTML page with a traffic light for each gate.
        outcome: release or halt.

    Raises:
        InputError: If no gate is required, or the model is not a model folder.
        IntegrityError: If an input was changed since it was written.
    """
    from kfp_hallmark.components.governance.decide_release.decide import decide_release

    return decide_release(
        model,
        {
            "dataset_verdict": dataset_verdict,
            "performance_verdict": performance_verdict,
            "fairness_verdict": fairness_verdict,
            "robustness_verdict": robustness_verdict,
            "explanation_verdict": explanation_verdict,
            "additional_verdicts": additional_verdicts,
        },
        required_gates,
        allow_warnings,
        max_age_hours,
        decision,
        report,
    )
