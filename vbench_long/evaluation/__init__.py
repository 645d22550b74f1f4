"""From videos to stored scores: plan, one decode, features, records."""

from vbench_long.evaluation.evaluate import BACKENDS, RunConfig, evaluate

__all__ = ["BACKENDS", "RunConfig", "evaluate"]
