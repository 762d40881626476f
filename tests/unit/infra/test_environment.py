"""What a job writes down of its surroundings explains its numbers, and gives nothing away."""

from infra.scheduler.in_job.environment import describe


def test_a_jobs_variables_are_written_down_and_nothing_that_could_be_a_secret() -> None:
    variables = {
        "SLURM_JOB_ID": "7", "NCCL_DEBUG": "INFO", "PATH": "/bin", "MARTLET_RUN": "smoke-1", "OMP_NUM_THREADS": "4",
        "SLURM_JWT": "a", "MARTLET_TOKEN": "b", "HF_TOKEN": "c", "AWS_SECRET_ACCESS_KEY": "d", "MY_NOTES": "e",
        "HF_HUB_TOKEN_PATH": "f",
    }  # fmt: skip
    facts = describe(variables, ("node1",), "SLURM")
    assert facts["variables"] == {name: variables[name] for name in sorted(list(variables)[:5])}
    assert facts["packages"]["torch"]
    assert facts["nodes"] == ["node1"]
