import json

import pytest

from kfp_hallmark.contracts.digest import Manifest
from kfp_hallmark.contracts.release import Release
from kfp_hallmark.errors import IntegrityError, MissingInputError

FILES = {"MLmodel": "sha256:" + "a" * 64, "data/model.skops": "sha256:" + "b" * 64}
FORMER = Release("income", "2", Manifest({"MLmodel": "sha256:" + "c" * 64}), "sha256:" + "d" * 64)
FOUND = Release("income", "3", Manifest(FILES), "sha256:" + "e" * 64, "2026-11-21T05:40:00Z", FORMER.reference)


def test_what_is_written_is_what_is_read(tmp_path):
    for release in (FORMER, FOUND):
        (tmp_path / "release.json").write_text(json.dumps(release.to_json()))
        assert Release.read(tmp_path / "release.json") == release


def test_places_follow_from_version_and_digests():
    assert FOUND.path == f"versions/3-{Manifest(FILES).digest[7:19]}"
    assert FOUND.decision == "decisions/" + "e" * 12


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "hallmark/release/v2"},
        {"model": "versions/../../elsewhere"},
        {"decision": "/etc"},
        {"version": "../3"},
        {"name": "../income"},
        {"digest": "sha256:" + "0" * 64},
        {"files": {"MLmodel": "sha256:" + "0" * 64}},
        {"files": []},
        {"decision_digest": "abc"},
        {"deployed": "today"},
        {"previous": "2"},
        {"previous": {}},
        {"previous": []},
        {"previous": FORMER.reference | {"model": "../../elsewhere"}},
        {"previous": FORMER.reference | {"version": "../2", "model": f"versions/../2-{FORMER.model.digest[7:19]}"}},
        {"previous": FORMER.reference | {"digest": "abc"}},
        {"previous": FORMER.reference | {"more": 1}},
        {"more": 1},
    ],
)
def test_read_refuses(tmp_path, change):
    (tmp_path / "release.json").write_text(json.dumps(FOUND.to_json() | change))
    with pytest.raises(IntegrityError):
        Release.read(tmp_path / "release.json")


def test_read_refuses_an_absent_file(tmp_path):
    with pytest.raises(MissingInputError, match="must be a file"):
        Release.read(tmp_path / "release.json")
