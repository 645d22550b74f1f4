"""Where its weights are published."""

from vbench_long.weights.checkpoint import Checkpoint, Url

PALETTE_NET = Checkpoint(
    name="palette_net_v1",
    file="palette_net_v1.safetensors",
    published=(Url("https://example.org/palette_net_v1.safetensors"),),
    licence="MIT",
    commercial=True,
    dimensions=("palette_stability",),
)
