"""From records to scores, totals, tables and pictures. Reads runs, knows nothing of torch."""
