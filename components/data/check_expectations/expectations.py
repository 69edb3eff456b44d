"""Judge a dataset by a suite, through Great Expectations (GX) itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kfp_hallmark.components.data.check_expectations.page import render
from kfp_hallmark.components.data.check_expectations.results import Result, check_of, counting, results, stripped
from kfp_hallmark.components.data.check_expectations.suite import Suite, read_suite, wrong
from kfp_hallmark.contracts.artifacts import Artifact, verified
from kfp_hallmark.contracts.dataset import read_table
from kfp_hallmark.contracts.digest import artifact_digest
from kfp_hallmark.contracts.documents import write_json
from kfp_hallmark.contracts.verdict import Verdict
from kfp_hallmark.errors import InputError
from kfp_hallmark.reports import write_page

if TYPE_CHECKING:
    import pandas


def check(
    dataset: Artifact,
    suite_uri: str,
    suite_parameters: Mapping[str, Any],
    verdict: Artifact,
    report: Artifact,
    validation: Artifact,
) -> tuple[str]:
    """Write a verdict, a report and GX's own result, and return the status; see the component.

    Raises:
        MissingInputError: If the dataset or the suite is not there.
        InputError: If one of them cannot be read, or the suite cannot be run.
        IntegrityError: If the dataset was changed since it was written.
    """
    import great_expectations

    suite = read_suite(suite_uri)
    digest = artifact_digest(verified(dataset, "dataset"))
    frame = read_table(dataset.path).to_pandas()
    told = validate(frame, suite, suite_parameters)
    parameters = {
        "suite": suite.name,
        "suite_digest": suite.digest,
        "suite_parameters": dict(suite_parameters),
        "great_expectations": great_expectations.__version__,
    }
    checks = [check_of(each, suite.name, list(frame.columns), len(frame)) for each in told]
    result = Verdict("check_expectations", {"dataset": digest}, checks, parameters)
    document = render(result, told, len(frame), len(frame.columns))
    write_json(validation.path, stripped(suite, told))
    write_page(report.path, document)
    result.store(verdict)
    return (str(result.status),)


def validate(frame: pandas.DataFrame, suite: Suite, suite_parameters: Mapping[str, Any]) -> list[Result]:
    """Return what GX says of each expectation, in the suite's order.

    Raises:
        InputError: If the suite names a parameter that has no value, or one that does not suit.
    """
    import great_expectations
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )
    from great_expectations.exceptions import SuiteParameterError

    settings = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = great_expectations.get_context(mode="ephemeral", project_config=settings)
    asset = context.data_sources.add_pandas("dataset").add_dataframe_asset("dataset")
    batch = asset.add_batch_definition_whole_dataframe("dataset").get_batch({"dataframe": frame})
    asked = great_expectations.ExpectationSuite(suite.name, [*map(dict, suite.expectations), *counting(suite)])
    try:
        found = batch.validate(
            asked,
            result_format={"result_format": "BASIC", "partial_unexpected_count": 0},
            expectation_parameters=dict(suite_parameters),
        )
    except SuiteParameterError as error:
        raise InputError(f"suite_parameters must give what the suite names as $PARAMETER; {error}.") from error
    except ValidationError as error:
        raise InputError(f"suite_parameters must suit the suite's arguments; {wrong(error)}.") from error
    return results(found, suite)
