from typing import List

from kfp.dsl import Artifact, Dataset, Input

from kfp_hallmark.component import component


@component(environment="release", size="small")
def enforce_verdicts(
    dataset: Input[Dataset],
    dataset_verdict: Input[Artifact] = None,
    bias_verdict: Input[Artifact] = None,
    poisoning_verdict: Input[Artifact] = None,
    expectations_verdict: Input[Artifact] = None,
    required_gates: List[str] = ["validate_dataset", "audit_dataset_bias", "screen_poisoning"],
    allow_warnings: bool = True,
    max_age_hours: float = 24.0,
):
    """Fail the run, with every reason, unless every verdict on a dataset passed; after the evidence is stored.

    Everything fails closed: a missing, unreadable, stale or inconclusive verdict is no pass, and neither is one on
    other data.

    Args:
        dataset: The dataset that was judged.
        dataset_verdict: Verdict of validate_dataset.
        bias_verdict: Verdict of audit_dataset_bias.
        poisoning_verdict: Verdict of screen_poisoning.
        expectations_verdict: Verdict of check_expectations.
        required_gates: Gates whose pass is wanted; a verdict given beyond them must pass too.
        allow_warnings: Whether a verdict of warn counts as passed.
        max_age_hours: Age of a verdict, in hours, above which it is stale.

    Raises:
        ReleaseRefused: If a verdict is no pass.
        InputError: If no gate is required, one has no name of a gate, or max_age_hours is not above 0.
        IntegrityError: If the dataset or a verdict was changed since it was written.
    """
    from kfp_hallmark.components.governance.enforce_verdicts.enforce import enforce

    enforce(
        dataset,
        {
            "dataset_verdict": dataset_verdict,
            "bias_verdict": bias_verdict,
            "poisoning_verdict": poisoning_verdict,
            "expectations_verdict": expectations_verdict,
        },
        required_gates,
        allow_warnings,
        max_age_hours,
    )
