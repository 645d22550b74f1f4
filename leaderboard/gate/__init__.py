"""The regression gate: two runs compared, their verdicts, and both as files and a picture."""
