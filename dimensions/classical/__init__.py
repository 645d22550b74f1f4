"""Weight-free operators: the `classical` backend."""
