"""Names of pipelines on Vertex AI."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kfp_hallmark.lint.rule import VERTEX, Problem, Severity, rule
from kfp_hallmark.lint.spec import Spec

_LONGEST = 113
"""128 without the time of the run that follows the name."""


@rule(
    "HM202",
    Severity.ERROR,
    [VERTEX],
    fix="Begin the pipeline's name with a letter and keep it short, or give every run a `job_id`.",
    source="https://github.com/googleapis/python-aiplatform/blob/main/google/cloud/aiplatform/constants/pipeline.py",
)
def job_name(spec: Spec) -> Iterator[Problem]:
    """The id of a job, made of the pipeline's name and the time, is not one that Vertex AI takes.

    It must begin with a letter and be at most 128 letters, digits and '-'.
    """
    name = spec.pipeline["pipelineInfo"]["name"]
    made = re.sub("[^-0-9a-z]+", "-", name.lower()).strip("-")
    if not re.match("[a-z]", made) or len(made) > _LONGEST:
        yield Problem(("pipelineInfo", "name"), f"{made[:40]!r}, {len(made)} characters")
