"""From videos to stored scores: plan, one decode, features, records."""

from vbench_long.evaluation.asked import RunConfig
from vbench_long.evaluation.choice import BACKENDS
from vbench_long.evaluation.evaluate import evaluate, forecast
from vbench_long.evaluation.generation import GenerateConfig, generate
from vbench_long.evaluation.networks import Networks

__all__ = [
    "BACKENDS",
    "GenerateConfig",
    "Networks",
    "RunConfig",
    "evaluate",
    "forecast",
    "generate",
]
