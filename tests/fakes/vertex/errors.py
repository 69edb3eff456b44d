"""What the service answers when it refuses, and the formats it holds requests to."""

import re

import grpc

LABEL_KEY, LABEL_VALUE = r"[a-z][a-z0-9_-]{0,62}", r"[a-z0-9_-]{0,63}"
DIGITS = r"[0-9]+"


class Refusal(Exception):
    """An error as the service answers it.

    Args:
        code: The name of a gRPC status.
        message: What the service says.
    """

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = grpc.StatusCode[code], message


def require(condition, message, code="INVALID_ARGUMENT"):
    if not condition:
        raise Refusal(code, message)


def require_match(pattern, value, field):
    require(re.fullmatch(pattern, value), f"{field} must match {pattern}; got {value!r}.")


def require_display_name(name):
    require(0 < len(name) <= 128, f"display_name must have 1 to 128 characters; got {len(name)}.")


def require_labels(labels):
    require(len(labels) <= 64, "At most 64 labels are allowed.")
    for key, value in labels.items():
        require_match(LABEL_KEY, key, "A label's key")
        require_match(LABEL_VALUE, value, "A label's value")
