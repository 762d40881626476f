"""Slurm as a batch scheduler: its commands, the batch script of a job, and what runs inside the job."""
