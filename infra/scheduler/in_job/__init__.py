"""What runs on a job's own nodes: its batch script's program, its ranks, and the judgement of how they ended."""
