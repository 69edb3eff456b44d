"""Every Hallmark pipeline, by its name: `from kfp_hallmark.pipelines import governed_training`."""

from kfp_hallmark.pipelines.governed_dataset import governed_dataset
from kfp_hallmark.pipelines.governed_training import governed_training
from kfp_hallmark.pipelines.tuned_training import tuned_training

__all__ = ["governed_dataset", "governed_training", "tuned_training"]
