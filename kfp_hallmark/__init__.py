"""Kubeflow Pipelines components for governed machine learning."""

import atexit
import gc
import os

__version__ = "0.1.0"

if os.environ.get("_KFP_RUNTIME") == "true":
    # Python ends by searching every object for circles to free. After importing MLflow or TensorFlow that takes a step
    # 0.4 to 1.2 s, for memory that goes with the process anyway.
    atexit.register(gc.freeze)
