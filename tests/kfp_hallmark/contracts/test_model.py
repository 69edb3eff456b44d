import json

import pytest

from kfp_hallmark.contracts.model import Lineage, lineage, model_metadata
from kfp_hallmark.errors import IntegrityError, MissingInputError

DATA, HASH = "sha256:" + "2" * 64, "sha256:" + "e" * 64


@pytest.fixture
def say(tmp_path):
    """Write a model that says something of itself."""

    def write(value):
        (tmp_path / "MLmodel").write_text(json.dumps({"metadata": {"hallmark": value}}))
        return tmp_path

    return write


def test_a_model_says_what_it_was_made_from(say):
    assert lineage(say({"datasets": [DATA], "experiment_hash": HASH})) == Lineage((DATA,), HASH)


@pytest.mark.parametrize("value", [None, {}, {"datasets": None, "experiment_hash": None}, {"datasets": []}, "text"])
def test_a_model_need_not_say_what_it_was_made_from(say, value):
    assert lineage(say(value)) == Lineage((), None)


@pytest.mark.parametrize("datasets", [DATA, 5, False, {DATA: 1}, [7], [DATA, "abc"], [[DATA]]])
def test_datasets_that_are_no_list_of_digests_are_refused(say, datasets):
    with pytest.raises(IntegrityError, match="The datasets that a model names must be a list of digests"):
        lineage(say({"datasets": datasets}))


@pytest.mark.parametrize("experiment_hash", [5, "", "abc", [HASH]])
def test_an_experiment_hash_that_is_no_digest_is_refused(say, experiment_hash):
    with pytest.raises(IntegrityError, match="The experiment hash that a model names must be a digest"):
        lineage(say({"experiment_hash": experiment_hash}))


@pytest.mark.parametrize("content", ["a: [", "[" * 5000, "a: 2026-13-45", "a: !!python/object:os.system x", "\0"])
def test_a_file_that_is_no_yaml_is_refused(tmp_path, content):
    (tmp_path / "MLmodel").write_text(content)
    with pytest.raises(IntegrityError, match="must be YAML; it is not"):
        model_metadata(tmp_path)


@pytest.mark.parametrize("content", ["", "text", "[]", "7"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content):
    (tmp_path / "MLmodel").write_text(content)
    with pytest.raises(IntegrityError, match="must be a YAML mapping"):
        model_metadata(tmp_path)


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="must be a folder that holds the file MLmodel"):
        lineage(tmp_path)
