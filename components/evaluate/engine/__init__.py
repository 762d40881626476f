"""Measures models on benchmarks and held-out text in any number of ranks, with one result file for each measurement."""
