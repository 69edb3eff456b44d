import traceback

import pytest

from kfp_hallmark.errors import InputError, MissingInputError
from kfp_hallmark.storage import reading

SECRET = "".join(["s3", "cret"])
URI = f"https://ada:{SECRET}@host/data.csv?signature={SECRET}"


@pytest.mark.parametrize(
    ("raised", "told", "message"),
    [
        (FileNotFoundError, MissingInputError, "uri must be there; 'https://host/data.csv' is not."),
        (
            PermissionError,
            InputError,
            "uri must be a file that can be read; 'https://host/data.csv' cannot (PermissionError).",
        ),
    ],
)
def test_what_a_client_raises_is_told_without_its_words(raised, told, message):
    with pytest.raises(told) as caught, reading("uri", URI):
        raise raised(f"403 for {URI}")
    assert type(caught.value) is told
    assert caught.value.message == message
    assert caught.value.hint == "Check the address, and that it answers the step without a login."
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_our_own_errors_are_left_as_they_are():
    with pytest.raises(MissingInputError, match=r"^mine$"), reading("uri", URI):
        raise MissingInputError("mine")
