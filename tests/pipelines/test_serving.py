"""That `hallmark serve` serves what a run released, and says of the test data what `evaluate_model` judged it by."""

import json
import subprocess

import pytest

from kfp_hallmark.environments import local

ROWS = """
import json, sys
import pyarrow.parquet
test, predictions = (pyarrow.parquet.read_table(path).slice(0, 3000) for path in sys.argv[1:3])
rows = test.select(json.loads(sys.argv[3])).to_pylist()
json.dump([rows, predictions["prediction"].to_pylist(), predictions["score"].to_pylist()], sys.stdout)
"""
JUDGED = (("split_dataset", "test"), ("evaluate_model", "predictions"))


@pytest.fixture
def served(released, serve):
    """The command, serving the model of a released run; gives its address."""
    with serve(released.state, "acs-employment") as address:
        yield address


def test_what_is_served_is_what_was_judged(released, served, ask):
    columns = [entry["name"] for entry in ask(f"{served}/v2/models/acs-employment")["inputs"]]
    paths = [released.step(step)["outputs"][name]["path"] for step, name in JUDGED]
    command = [local.ensure("ml"), "-c", ROWS, *(released.folder / path for path in paths), json.dumps(columns)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, predictions, scores = json.loads(done.stdout)
    together = ask(f"{served}/predict", {"instances": rows, "parameters": {"scores": True}})["predictions"]
    assert [answer["prediction"] for answer in together] == predictions
    assert [answer["score"] for answer in together] == scores
    alone = [ask(f"{served}/predict", {"instances": [row], "parameters": {"scores": True}}) for row in rows[:50]]
    assert [answer["predictions"][0] for answer in alone] == together[:50]


def test_a_folder_without_a_release_is_told(released, hallmark):
    done = hallmark("serve", released.state / "serving", state=released.state)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "DIR must be a folder that holds release.json" in done.stderr
    assert "It holds acs-employment: name one of them." in done.stderr


@pytest.mark.parametrize("option", ["--port=70000", "--workers=0"])
def test_options_are_checked(released, hallmark, option):
    done = hallmark("serve", released.state / "serving" / "acs-employment", option, state=released.state)
    assert done.returncode == 2
    assert option.split("=")[0] in done.stderr
