from dataclasses import dataclass, field

import pytest

from kfp_hallmark.contracts.options import read_options
from kfp_hallmark.errors import InputError


@dataclass(frozen=True)
class Form:
    name: str
    place: str
    count: int = 1
    share: float | None = None
    fast: bool = False
    labels: dict[str, str] = field(default_factory=dict)


GIVEN = {"name": "a", "place": "b"}


def test_defaults_are_filled_in():
    assert read_options(Form, GIVEN, "options") == Form("a", "b")


def test_numbers_are_read_as_kfp_hands_them_on():
    found = read_options(Form, GIVEN | {"count": 2.0, "share": 3}, "options")
    assert (found.count, type(found.count)) == (2, int)
    assert (found.share, type(found.share)) == (3.0, float)


def test_none_is_taken_where_it_may_be():
    assert read_options(Form, GIVEN | {"share": None, "labels": {"a": "b"}, "fast": True}, "options") == Form(
        "a", "b", 1, None, True, {"a": "b"}
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 7}, r"options\['name'\] must be text; got 7"),
        ({"name": None}, r"options\['name'\] must be text; got None"),
        ({"count": 1.5}, r"options\['count'\] must be a whole number; got 1\.5"),
        ({"count": True}, r"options\['count'\] must be a whole number; got True"),
        ({"count": "1"}, r"options\['count'\] must be a whole number; got '1'"),
        ({"share": "1"}, r"options\['share'\] must be a number; got '1'"),
        ({"share": False}, r"options\['share'\] must be a number; got False"),
        ({"fast": 1}, r"options\['fast'\] must be true or false; got 1"),
        ({"labels": {"a": 1}}, r"options\['labels'\] must be an object of texts; got \{'a': 1\}"),
        ({"labels": []}, r"options\['labels'\] must be an object of texts; got \[\]"),
        ({"names": "a"}, "options must hold options that there are; got 'names'"),
    ],
)
def test_wrong_values_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        read_options(Form, GIVEN | change, "options")


def test_the_nearest_name_is_suggested():
    with pytest.raises(InputError) as refused:
        read_options(Form, GIVEN | {"labls": {}}, "options")
    assert refused.value.hint == "Did you mean 'labels'?"


def test_all_missing_options_are_named():
    with pytest.raises(InputError, match="options must hold every required option; missing: name, place"):
        read_options(Form, {}, "options")


def test_anything_but_an_object_is_refused():
    with pytest.raises(InputError, match="options must be an object; got list"):
        read_options(Form, ["name"], "options")
