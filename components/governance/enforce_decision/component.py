from kfp.dsl import Artifact, Input

from kfp_hallmark.component import component


@component(environment="release", size="small")
def enforce_decision(decision: Input[Artifact]):
    """Fail the run, with every reason, unless the decision is a release; after the evidence is stored.

    Args:
        decision: What decide_release wrote.

    Raises:
        ReleaseRefused: If the decision is to halt.
        IntegrityError: If the decision is not whole.
    """
    from kfp_hallmark.components.governance.enforce_decision.enforce import enforce

    enforce(decision)
