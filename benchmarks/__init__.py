"""Benchmarks of speed and scale, each against a named peer in the same run; no test is timed. `make bench-NAME` runs one."""
