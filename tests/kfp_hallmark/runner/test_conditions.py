import pytest

from kfp_hallmark.errors import InputError
from kfp_hallmark.runner.conditions import holds

VALUES = {"x": "release", "pipelinechannel--n": 3.0, "share": 0.5, "on": True, "none": None}
X, N, SHARE, ON = (f"inputs.parameter_values['{name}']" for name in VALUES if name != "none")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (f"{X} == 'release'", True),
        (f"{X} != 'release'", False),
        (f"!({X} == 'halt')", True),
        (f"!({X} == 'halt') && {X} == 'release'", True),
        (f"!({X} == 'halt') && !({X} == 'release')", False),
        (f"int({N}) == 3", True),
        (f"int({N}) > 3", False),
        (f"int({N}) >= 3 && int({N}) <= 3", True),
        (f"double(int({N})) < 3.5", True),
        (f"{SHARE} > 0.25", True),
        (f"{SHARE} < 1e-3", False),
        (f"{SHARE} > -1", True),
        (f"{ON} == true", True),
        (f"{ON} == false", False),
        (f"{X} == {X}", True),
        (f"{X} == 'a && b'", False),
        (f"{X} == 'a == b'", False),
    ],
)
def test_the_forms_that_the_compiler_writes(condition, expected):
    assert holds(condition, VALUES) is expected


@pytest.mark.parametrize("value", ["' or True or '", "client's model", "two\nlines", "' == '", "{{$}}", "1 == 1"])
def test_a_value_is_never_read(value):
    assert not holds(f"{X} == 'release'", {"x": value})
    assert holds(f"!({X} == 'release')", {"x": value})
    assert holds(f"{X} == {ON}", {"x": value, "on": value})


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            "inputs.parameter_values['none'] == 'a'",
            "The condition none == 'a' must compare values of one kind; none has",
        ),
        ("int(inputs.parameter_values['pipelinechannel--absent']) > 3", "absent has no value"),
        (f"{X} > 3", "it compares str with float"),
        (f"{ON} == 'true'", "it compares bool with str"),
        (f"int({X}) == 3", "invalid literal for int"),
        (f"{X} == 'it's'", "could not convert"),
        (f"{X}", "it is not a comparison"),
        (f"{X} == 'a' || {X} == 'b'", "it is not a comparison"),
        (f"{X} == __import__('os')", "could not convert"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error(condition, message):
    with pytest.raises(InputError) as caught:
        holds(condition, VALUES)
    assert message in str(caught.value)
