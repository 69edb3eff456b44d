import json

import pytest

from kfp_hallmark.environments import lock
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("python:3.11", "python"),
        ("python", "python"),
        ("localhost:5000/x/ml:0.1.0", "localhost:5000/x/ml"),
        ("localhost:5000/x/ml", "localhost:5000/x/ml"),
        (f"localhost:5000/x/ml:0.1.0@{DIGEST}", "localhost:5000/x/ml"),
        (f"ghcr.io/a/b@{DIGEST}", "ghcr.io/a/b"),
    ],
)
def test_name_without_tag_and_digest(reference, name):
    assert lock.repository(reference) == name


def test_written_sorted_and_read_back(tmp_path):
    images = {"x.io/ml:2": f"x.io/ml@{DIGEST}", "x.io/data:2": f"x.io/data@{DIGEST}"}
    lock.write(tmp_path / "images.lock.json", images)
    again = dict(reversed(images.items()))
    lock.write(tmp_path / "again.json", again)
    assert (tmp_path / "images.lock.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    assert lock.read(tmp_path / "images.lock.json") == images


def test_pin():
    images = {"x.io/ml:2": f"x.io/ml@{DIGEST}"}
    assert lock.pin("x.io/ml:2", images) == f"x.io/ml@{DIGEST}"
    assert lock.pin(f"y.io/ml@{DIGEST}", images) == f"y.io/ml@{DIGEST}"
    for reference in ("x.io/ml:3", "x.io/ml", "x.io/ml@sha256:ab"):
        with pytest.raises(InputError, match="must be pinned by its digest"):
            lock.pin(reference, images)


def test_the_file_must_be_there(tmp_path):
    with pytest.raises(MissingInputError, match="must be pinned by a file") as error:
        lock.read(tmp_path / "images.lock.json")
    assert error.value.hint == "Run `hallmark image push`, then `hallmark image lock`."


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"schema": "hallmark/images/v2", "images": {}}, "hallmark/images/v1"),
        ({"schema": lock.SCHEMA}, "must say which images it pins"),
        ({"schema": lock.SCHEMA, "images": []}, "must say which images it pins"),
        ({"schema": lock.SCHEMA, "images": {"x.io/ml:2": "x.io/ml:2"}}, "by a digest in the same place"),
        ({"schema": lock.SCHEMA, "images": {"x.io/ml:2": f"evil.io/ml@{DIGEST}"}}, "by a digest in the same place"),
        ({"schema": lock.SCHEMA, "images": {"x.io/ml:2": "x.io/ml@sha256:AB"}}, "by a digest in the same place"),
        ({"schema": lock.SCHEMA, "images": {"x.io/ml:2": None}}, "by a digest in the same place"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path, value, message):
    path = tmp_path / "images.lock.json"
    path.write_text(json.dumps(value))
    with pytest.raises(IntegrityError, match=message):
        lock.read(path)
