"""A worker module in, its ranks as a Slurm job out: found again, followed, requeued and judged; Slurm is the truth."""
