import pytest

from kfp_hallmark.errors import nearest

MANY = [f"column_{number}" for number in range(21)]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("gendr", ["gender", "age"], "Did you mean 'gender'?"),
        ("x", ["gender", "age"], "Known: age, gender."),
        (2015, ["a", "b"], "Known: a, b."),
        (["gender"], ["gender"], "Did you mean 'gender'?"),
        ("x", [], None),
        ("x", MANY, None),
        ("colum_3", MANY, "Did you mean 'column_3'?"),
    ],
)
def test_the_nearest_name_is_told(name, known, hint):
    assert nearest(name, known) == hint
