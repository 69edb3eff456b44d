"""That a release is fetched from object storage, whole, and nothing beside it."""

import traceback

import fsspec
import pytest

from kfp_hallmark.contracts.digest import Manifest
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import IntegrityError, MissingInputError
from kfp_hallmark.serving.releases import load
from kfp_hallmark.serving.storage import fetch

ENVIRONMENT = "serve"


@pytest.fixture
def bucket(home):
    """The serving folder in a storage in memory, beside something else."""
    memory = fsspec.filesystem("memory")
    memory.rm("/", recursive=True)
    memory.put(str(home), "/bucket/serving/people", recursive=True)
    memory.pipe("/bucket/serving/people/versions/2-000000000000/model.pkl", b"another version")
    memory.pipe("/bucket/secret", b"secret")
    yield "memory://bucket/serving/people"
    memory.rm("/", recursive=True)


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_release_is_fetched_with_what_it_names(bucket, home, tmp_path, ending):
    fetch(bucket + ending, tmp_path / "here")
    assert load(tmp_path / "here").release == Release.read(home / "release.json")
    assert Manifest.of(tmp_path / "here") == Manifest.of(home)


def test_no_release_is_told_with_the_address(bucket, tmp_path):
    with pytest.raises(MissingInputError, match="The release at 'memory://bucket/other' must be readable"):
        fetch("memory://bucket/other", tmp_path / "here")


def test_a_storage_that_is_not_known_is_told(tmp_path):
    with pytest.raises(MissingInputError, match="The release at 'nowhere://bucket' must be readable"):
        fetch("nowhere://bucket", tmp_path / "here")


def test_what_a_client_says_is_not_repeated(telling, tmp_path):
    uri = f"{telling(OSError)}://ada:s3cret@bucket?signature=s3cret"
    with pytest.raises(MissingInputError, match=r"The release at 'telling://bucket' .* failed with OSError") as caught:
        fetch(uri, tmp_path / "here")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_nothing_is_written_outside_the_folder(bucket, tmp_path, monkeypatch):
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr(type(memory), "find", lambda self, path: [f"{path}/../../../../../../evil"])
    with pytest.raises(IntegrityError, match="must hold the files that it names"):
        fetch(bucket, tmp_path / "here")
    assert not list(tmp_path.glob("**/evil"))


def test_a_fetched_model_that_was_changed_is_refused(bucket, home, tmp_path):
    served = Release.read(home / "release.json")
    fsspec.filesystem("memory").pipe(f"/bucket/serving/people/{served.path}/model.pkl", b"changed")
    fetch(bucket, tmp_path / "here")
    with pytest.raises(IntegrityError, match="must be the one that was decided on"):
        load(tmp_path / "here")
