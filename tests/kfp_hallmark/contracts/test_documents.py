import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_hallmark.contracts.documents import (
    canonical,
    finite,
    parse_time,
    read_json,
    require_form,
    value_digest,
    write_json,
    writing,
)
from kfp_hallmark.errors import InputError, IntegrityError, MissingInputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def write_into(path, content, folder):
    with writing(path) as temporary:
        if folder:
            temporary.mkdir()
            (temporary / "file").write_text(content)
        else:
            temporary.write_text(content)


def content_of(path):
    return (path / "file").read_text() if path.is_dir() else path.read_text()


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("before", [None, "file", "folder"])
def test_writing_replaces_whatever_was_there_and_leaves_nothing_else(tmp_path, folder, before):
    path = tmp_path / "deeper" / "output"
    if before:
        write_into(path, "old", before == "folder")
    write_into(path, "new", folder)
    assert content_of(path) == "new"
    assert path.is_dir() is folder
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("before", [None, "file", "folder"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_what_was_there(tmp_path, folder, before, error):
    path = tmp_path / "output"
    if before:
        write_into(path, "old", before == "folder")
    with pytest.raises(error), writing(path) as temporary:
        if folder:
            temporary.mkdir()
            (temporary / "file").write_text("half")
        else:
            temporary.write_text("half")
        raise error
    assert [content_of(entry) for entry in tmp_path.iterdir()] == (["old"] if before else [])


def test_a_block_that_writes_nothing_leaves_what_was_there(tmp_path):
    path = tmp_path / "output"
    write_into(path, "old", folder=True)
    with pytest.raises(FileNotFoundError), writing(path):
        pass
    assert [content_of(entry) for entry in tmp_path.iterdir()] == ["old"]


def test_two_writers_of_one_path_do_not_share_a_temporary_name(tmp_path):
    with writing(tmp_path / "output") as first, writing(tmp_path / "output") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "output").read_text() == "first"


def test_a_value_that_is_not_json_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "value.json", {"value": math.nan})
    assert not list(tmp_path.iterdir())


@given(JSON)
def test_canonical_form_survives_reading(value):
    assert canonical(json.loads(canonical(value))) == canonical(value)


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_digest_does_not_depend_on_the_order_of_the_keys(value):
    assert value_digest(value) == value_digest(dict(reversed(value.items())))


def test_digest_is_the_sha256_of_the_canonical_form():
    assert canonical({"b": [1.5, None], "a": "ä"}) == b'{"a":"\\u00e4","b":[1.5,null]}'
    assert value_digest({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_finite_replaces_what_json_cannot_say_at_any_depth():
    given_value = {"a": [1.5, math.nan, (math.inf, "x")], "b": -math.inf, "c": True}
    assert finite(given_value) == {"a": [1.5, None, [None, "x"]], "b": None, "c": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b"1" * 5000, "must be JSON"),
        (b'{"schema": "wanted/v1", "a": 1, "a": 1}', "must be JSON"),
        (b'{"schema": "wanted/v1", "a": {"b": 1, "b": 2}}', "must be JSON"),
        (b'{"schema": "wanted/v1", "a": ' + b"9" * 309 + b"}", "must be JSON"),
        (b'{"schema": "wanted/v1", "a": 1e309}', "must be JSON"),
        (b'{"schema": "wanted/v1", "a": NaN}', "must be JSON"),
        (b'{"schema": "wanted/v1", "a": "\\ud800"}', "must be JSON"),
        (b"[]", r"must have the schema 'wanted/v1'; got 'list'"),
        (b"{}", r"must have the schema 'wanted/v1'; got None"),
        (b'{"schema": "wanted/v2"}', r"must have the schema 'wanted/v1'; got 'wanted/v2'"),
    ],
)
def test_read_json_refuses(tmp_path, content, message):
    (tmp_path / "document.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=message):
        read_json(tmp_path / "document.json", "wanted/v1")


def test_read_json_takes_whatever_json_can_say(tmp_path):
    value = {"schema": "wanted/v1", "whole": 2**64, "great": -1.7e308, "text": "\u4e2d\U0001f600", "none": None}
    (tmp_path / "document.json").write_text(json.dumps(value))
    assert read_json(tmp_path / "document.json", "wanted/v1") == value


@pytest.mark.parametrize(("value", "form"), [({"a": 1}, {"a": True}), ({"a": 1}, {"a": 1.0}), ({}, {"a": None})])
def test_require_form_tells_apart_what_python_takes_as_equal(value, form):
    require_form(value, dict(value))
    with pytest.raises(ValueError, match="are not in their form"):
        require_form(value, form)


def test_read_json_refuses_an_absent_file(tmp_path):
    with pytest.raises(MissingInputError, match=r"A wanted/v1 document must be a file; got '.*gone.json'"):
        read_json(tmp_path / "gone.json", "wanted/v1")


@pytest.fixture
def far_from_utc(monkeypatch):
    """A machine whose own time zone is nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_a_time_without_a_zone_is_utc():
    assert (
        parse_time("2026-11-21T05:40:00") == parse_time("2026-11-21T05:40:00Z") == parse_time("2026-11-21T06:40+01:00")
    )


@pytest.mark.parametrize("value", ["yesterday", "", None, 7])
def test_parse_time_refuses(value):
    with pytest.raises(InputError, match="must be written as in ISO 8601"):
        parse_time(value)
