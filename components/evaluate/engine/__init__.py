"""Models and benchmarks in, one result file a measurement out, in any number of ranks."""
