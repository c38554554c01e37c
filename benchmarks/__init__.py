"""Measures what the guard costs, beside the things it is compared with. Run it: `python -m benchmarks --help`."""
