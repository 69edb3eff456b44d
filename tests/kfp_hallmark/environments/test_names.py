"""Which environments there are, and which of them steps run in."""

import pytest

from kfp_hallmark.component import component
from kfp_hallmark.environments import ENVIRONMENTS, STEPS, require_environment
from kfp_hallmark.errors import InputError


def test_no_step_runs_in_the_server():
    assert set(ENVIRONMENTS) - set(STEPS) == {"serve"}
    require_environment("serve")
    with pytest.raises(InputError, match=r"one of data, ml, release, sources, expectations; got 'serve'\."):
        component(environment="serve")


def test_an_unknown_environment_is_told_with_the_nearest():
    with pytest.raises(InputError, match=r"Did you mean 'serve'\?"):
        require_environment("server")
