"""Kubeflow Pipelines components for governed machine learning."""

import atexit
import gc
import os
import sys

__version__ = "0.1.0"


def _leave_memory() -> None:
    """End without Python's last collection, which searches every object for circles to free.

    After importing MLflow or TensorFlow that takes a step 0.4 to 1.2 s, for memory that goes with the process anyway.
    DuckDB would tell of such memory in a hundred lines.
    """
    if "duckdb" not in sys.modules:
        gc.freeze()


if os.environ.get("_KFP_RUNTIME") == "true":
    atexit.register(_leave_memory)
