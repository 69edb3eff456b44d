from typing import Dict, NamedTuple

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="expectations", idempotent=True, size="medium")
def check_expectations(
    dataset: Input[Dataset],
    verdict: Output[Artifact],
    report: Output[HTML],
    validation: Output[Artifact],
    suite_uri: str,
    suite_parameters: Dict = {},
) -> NamedTuple("Outputs", [("status", str)]):
    """Judge a dataset by a suite of Great Expectations, through that library itself.

    The verdict has a check for each expectation, and may be given to validate_dataset as expectations. The dataset is
    read into memory, as the library needs it.

    Args:
        dataset: What to judge.
        suite_uri: Path or fsspec URI (local, gs, s3) of a suite as Great Expectations 1 saves it, JSON.
        suite_parameters: Values of what the suite names as $PARAMETER.

    Returns:
        verdict: JSON, hallmark/verdict/v1.
        report: HTML page.
        validation: The library's own validation result, JSON, without values of records.
        status: pass, warn, inconclusive or fail.

    Raises:
        InputError: If the dataset or the suite cannot be read, the suite is empty, or one of its expectations is
            unknown, asks a database, or would run code.
        IntegrityError: If the dataset was changed since it was written.
    """
    from kfp_hallmark.components.data.check_expectations.expectations import check

    return check(dataset, suite_uri, suite_parameters, verdict, report, validation)
