import json

import pytest

from kfp_hallmark.contracts.registration import Registration, require_alias, require_model_name, require_version
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

DIGEST = "sha256:" + "a" * 64
FOUND = Registration("income", "3", DIGEST, "run-7", "2026-11-21T05:40:00Z")


def test_what_is_written_is_what_is_read(tmp_path):
    (tmp_path / "registration.json").write_text(json.dumps(FOUND.to_json()))
    assert Registration.read(tmp_path / "registration.json") == FOUND
    assert FOUND.uri == "models:/income/3"


VERTEX = "projects/123/locations/europe-west4/models/income-1f0c5a3e@3"


def test_a_version_in_vertex_ai_is_kept(tmp_path):
    found = Registration("income", "3", DIGEST, "run-7", "2026-11-21T05:40:00Z", VERTEX)
    (tmp_path / "registration.json").write_text(json.dumps(found.to_json()))
    assert Registration.read(tmp_path / "registration.json") == found
    assert found.to_json()["vertex"] == VERTEX
    assert "vertex" not in FOUND.to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"vertex": None},
        {"vertex": 7},
        {"vertex": VERTEX.removesuffix("@3")},
        {"vertex": VERTEX.replace("@3", "@0")},
        {"vertex": f"https://{VERTEX}"},
        {"vertex": VERTEX.replace("123", "../123")},
        {"schema": "hallmark/registration/v2"},
        {"uri": "models:/income/2"},
        {"version": "03", "uri": "models:/income/03"},
        {"version": 3},
        {"version": "../3", "uri": "models:/income/../3"},
        {"name": "../income", "uri": "models:/../income/3"},
        {"digest": "sha256:abc"},
        {"created": "today"},
        {"run_id": None},
        {"run_id": 7},
        {"more": 1},
    ],
)
def test_read_refuses(tmp_path, change):
    (tmp_path / "registration.json").write_text(json.dumps(FOUND.to_json() | change))
    with pytest.raises(IntegrityError):
        Registration.read(tmp_path / "registration.json")


@pytest.mark.parametrize("field", ["name", "version", "uri", "digest", "run_id", "created"])
def test_read_refuses_what_lacks_a_field(tmp_path, field):
    value = FOUND.to_json()
    del value[field]
    (tmp_path / "registration.json").write_text(json.dumps(value))
    with pytest.raises(IntegrityError, match="must be a whole hallmark/registration/v1"):
        Registration.read(tmp_path / "registration.json")


def test_read_refuses_an_absent_file(tmp_path):
    with pytest.raises(MissingInputError, match="must be a file"):
        Registration.read(tmp_path / "registration.json")


@pytest.mark.parametrize("name", ["a", "Income model 2.0", "catalog.schema.model", "a" * 100])
def test_good_names(name):
    assert require_model_name(name) == name


@pytest.mark.parametrize("name", ["", " a", "a ", "a/b", "a:b", ".", "..", "a'b", "a\n", "a" * 101, "\u00e4", None, 7])
def test_bad_names(name):
    with pytest.raises(InputError, match="model_name must be at most 100 letters"):
        require_model_name(name)


@pytest.mark.parametrize("version", ["0", "01", "-1", "1.0", "", "1\n", 1, None])
def test_bad_versions(version):
    with pytest.raises(InputError, match="version must be a positive number in digits"):
        require_version(version)


@pytest.mark.parametrize(("alias", "good"), [("champion", True), ("v1x", True), ("a-b_c", True), ("latest", False)])
def test_aliases(alias, good):
    if good:
        assert require_alias(alias) == alias
    else:
        with pytest.raises(InputError, match="alias must be letters"):
            require_alias(alias)
