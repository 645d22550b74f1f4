"""GRiT: what is in a picture, and where.

`vitdet` sees, `proposals` guesses where things are, `heads` make sure, `text` says what they are;
`network` puts them together, and `backbone` makes a backbone of it.
"""

from vbench_long.dimensions.backbones.grit.backbone import Grit

__all__ = ["Grit"]
