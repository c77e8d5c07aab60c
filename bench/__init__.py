"""The matching benchmark, metrics and speed measurements."""
