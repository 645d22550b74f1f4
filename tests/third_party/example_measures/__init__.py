"""A dimension, a network, its checkpoint and a generator, none of which vbench-long knows."""
