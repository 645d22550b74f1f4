import torch

from vbench_long.dimensions.backbones.base import TorchBackbone, prepared, resized, strict_load


class PaletteNet(TorchBackbone):
    """A frame -> 16 numbers of norm one."""

    checkpoints = ("palette_net_v1",)

    def __init__(self, weights, compute):
        super().__init__(compute)
        with torch.device("meta"):
            network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 8, 8), torch.nn.Softplus())
        self._network = strict_load(network, weights, "palette_net_v1").to(compute.device)

    def features(self, items):
        """Features: (B, 16)."""
        device = self.compute.device
        images = prepared(items, device, lambda i: resized(i, (64, 64), "bilinear", True))
        return torch.nn.functional.normalize(self._network(images / 255).mean((2, 3)), dim=-1)
