"""Speed and scale, each against a named peer in the same run; never timed tests. `make bench-NAME` runs one."""
