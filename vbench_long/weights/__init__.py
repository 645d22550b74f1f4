"""Checkpoints: the catalog as data, where they lie and how to get them, how they are read.

`catalog` and `fetch` know nothing of torch, so that the command line starts fast; `base`, `stored`
and `seeded` hand out tensors. Nothing is imported here for the same reason.
"""
