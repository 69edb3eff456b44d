"""Functions called in an environment: what they return, what they raise, how they end."""

import pytest

from kfp_hallmark.environments.calling import LocalArtifact, call
from kfp_hallmark.errors import EnvironmentFailure, InputError, MissingInputError


def test_results_are_returned():
    assert call("data", "platform:python_version_tuple", {})[:2] == ["3", "11"]
    assert call("data", "os.path:commonprefix", {"m": ["Zürich", "Zürichberg"]}) == "Zürich"


def test_artifacts_get_their_metadata(tmp_path):
    (tmp_path / "a.csv").write_text("n\n1\n2\n")
    dataset = LocalArtifact(str(tmp_path / "a.parquet"))
    function = "kfp_hallmark.components.data.load_dataset.load:load"
    assert call("ml", function, {"uri": str(tmp_path / "a.csv")}, {"dataset": dataset})[1] == 2
    assert dataset.metadata["rows"] == 2


def test_errors_are_raised_again():
    with pytest.raises(InputError) as caught:
        call("data", "kfp_hallmark.datacontract.rules:parse_rule", {"text": "a <"})
    assert type(caught.value) is InputError
    assert caught.value.message == "A rule must be an expression; 'a <' is none."
    assert caught.value.hint.startswith("A rule holds columns")
    with pytest.raises(MissingInputError):
        call("data", "kfp_hallmark.contracts.data_contract:read_contract", {"path": "/none.yaml"})


def test_a_function_that_crashes_is_told():
    with pytest.raises(EnvironmentFailure, match=r"os:_exit must end in the environment data; .* exit code 3\.$"):
        call("data", "os:_exit", {"status": 3})
    with pytest.raises(EnvironmentFailure, match=r"(?s)exit code 1\..*ModuleNotFoundError: No module named 'nothing'"):
        call("data", "nothing:at_all", {})
