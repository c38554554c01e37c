"""What the guard costs, measured beside what it is compared with. Run it: `python -m benchmarks --help`."""
