"""Every pipeline says in both flavours what the forms and graphs of a UI show of it."""

import re

import pytest
import yaml

from kfp_hallmark import compiling, pipelines

FILES = [f"{name}.{flavour}.yaml" for name in pipelines.__all__ for flavour in compiling.FLAVOURS]


@pytest.fixture(params=FILES)
def spec(request, root):
    return next(yaml.safe_load_all((root / "compiled" / "pipelines" / request.param).read_text()))


def test_there_is_no_other_file(root):
    assert {path.name for path in (root / "compiled" / "pipelines").iterdir()} == set(FILES)


def test_a_pipeline_has_a_name_to_show_and_a_description(spec):
    info = spec["pipelineInfo"]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", info["name"])
    assert info["displayName"] == info["name"].replace("-", " ").capitalize()
    assert info["description"].endswith(".")


def test_every_parameter_of_a_pipeline_is_described(spec):
    definitions = spec["root"]["inputDefinitions"]
    entries = {**definitions["parameters"], **definitions.get("artifacts", {})}
    assert [name for name, entry in entries.items() if not entry.get("description", "").endswith(".")] == []


def test_every_task_has_a_name_of_words(spec):
    parts = [spec["root"], *spec["components"].values()]
    tasks = [task for part in parts for task in part.get("dag", {}).get("tasks", {}).values()]
    names = [task["taskInfo"]["name"] for task in tasks]
    assert names
    # KFP names what holds an If and its Else, and takes no other name for it.
    assert [name for name in names if not re.fullmatch(r"[a-z]+(-[a-z]+)*|condition-branches-\d+", name)] == []
