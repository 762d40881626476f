"""A batch scheduler of one machine, for tests: jobs are processes, and what is known of them lies in files.

It shows what `infra.scheduler` needs from a scheduler. `python -m tests.support.toy_scheduler job|batch|ranks|rank …` are its
programs: what keeps a job, what its script runs, what starts the ranks, and one rank. A test may put files into the scheduler's
folder: `away`: it does not answer; `refuses`: it takes no job.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from infra.scheduler.cluster_site import ClusterSite
from infra.scheduler.errors import JobRefused, SchedulerUnreachable
from infra.scheduler.in_job.batch import BatchJob
from infra.scheduler.in_job.rank import run_rank
from infra.scheduler.jobs import Job, Phase
from infra.scheduler.ranks_end import Cause, RankEnd, RanksEnd
from infra.scheduler.records import JobRequest, read_request
from infra.scheduler.stage_job import StageJob

ITSELF = [sys.executable, "-m", "tests.support.toy_scheduler"]


class ToySite(ClusterSite):
    """The `toy:` section of a site file, if there were one."""

    key: ClassVar[str] = "toy"
    scheduler: ClassVar[str] = "Toy"

    folder: Path
    """The scheduler's memory: one folder per job."""


class ToyJobRequest(JobRequest):
    """A job's request whose file keeps the toy's own key."""

    site: ToySite


class ToyScheduler:
    """Satisfies `infra.scheduler.ports.Scheduler`."""

    request_type = ToyJobRequest
    script_name = "job.toy"

    def __init__(self, site: ToySite) -> None:
        self.site = site

    def script(self, stage_job: StageJob, environment: Mapping[str, str], exclude: Sequence[str]) -> str:
        exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
        words = [*ITSELF, "batch", str(stage_job.folder)]
        return "\n".join([
            "#!/bin/sh", f"# toy: {stage_job.name}", f"cd -- {shlex.quote(str(stage_job.workspace))} || exit 1", *exports,
            f"exec {shlex.join(words)}", "",
        ])  # fmt: skip

    def submit(self, script: Path, stage: str, held: int | None) -> int:
        self.ask()
        if (self.site.folder / "refuses").exists():
            raise JobRefused(f"Toy refused {script}: no more toys. {self.remedy('no more', stage)}")
        number = len(list(self.site.folder.glob("*/name"))) + 1
        folder = self.site.folder / str(number)
        folder.mkdir()
        (folder / "name").write_text(script.read_text(encoding="utf-8").splitlines()[1].removeprefix("# toy: "))
        words = [*ITSELF, "job", str(folder), str(script)]
        log = shlex.quote(str(script.parent / "batch.log"))
        apart = ["sh", "-c", f'setsid "$@" </dev/null >>{log} 2>&1 & echo $!', "sh", *words]  # it outlives this process
        (folder / "keeper").write_text(subprocess.run(apart, capture_output=True, text=True, check=True).stdout)
        return number

    def named(self, name: str) -> list[Job]:
        self.ask()
        found = (self.job(int(path.parent.name)) for path in sorted(self.site.folder.glob("*/name")))
        return [job for job in found if job is not None and job.living and job.name == name]

    def job(self, number: int) -> Job | None:
        self.ask()
        return read_job(self.site.folder / str(number))

    def cancel(self, number: int, *, kill: bool = False) -> None:
        self.ask()
        folder = self.site.folder / str(number)
        (folder / "cancelled").touch()
        job = read_job(folder)
        if job is not None and job.living:
            os.killpg(int((folder / "keeper").read_text()), signal.SIGKILL if kill else signal.SIGTERM)
            (folder / "ended").write_text("143")

    def exclude(self, number: int, nodes: Sequence[str]) -> None:
        self.ask()

    def refusals(self, stages: Collection[str]) -> list[str]:
        return []

    def remedy(self, words: str, stage: str) -> str:
        return f"Change toy.stages.{stage}."

    def cancel_command(self, number: int) -> str:
        return f"toycancel {number}"

    def ask(self) -> None:
        if (self.site.folder / "away").exists():
            raise SchedulerUnreachable("it is away.")


def read_job(folder: Path) -> Job | None:
    """The job as its files describe it."""
    if not folder.exists():
        return None
    ended = (folder / "ended").read_text() if (folder / "ended").exists() else ""
    phase = Phase.ENDED_FOR_GOOD if (folder / "cancelled").exists() else Phase.EXITED
    return Job(
        number=int(folder.name), name=(folder / "name").read_text(), phase=phase if ended else Phase.RUNNING,
        state="OVER" if ended else "PLAYING", reason="None", nodes="here",
        submitted=datetime.fromtimestamp((folder / "name").stat().st_mtime, UTC), start=None, end=None,
        restarts=max(len(list(folder.glob("start-*"))) - 1, 0), exit_code=(int(ended or 0), 0),
    )


def keep(folder: Path, script: Path) -> None:
    """Runs a job's script, and again whenever the job asked for that."""
    restarts, code = 0, 0
    while restarts == 0 or (folder / "requeue").exists():
        (folder / "requeue").unlink(missing_ok=True)
        (folder / f"start-{restarts}").touch()
        variables = {"TOY_JOB": str(folder), "TOY_RESTARTS": str(restarts)}
        code, restarts = subprocess.run(["sh", script], env={**os.environ, **variables}, check=False).returncode, restarts + 1
    (folder / "ended").write_text(str(abs(code)))


class ToyRunningJob:
    """Satisfies `infra.scheduler.ports.RunningJob`."""

    variables = "TOY"
    starter = "toyrun"

    def __init__(self) -> None:
        self.folder = Path(os.environ["TOY_JOB"])
        self.number, self.restarts = int(self.folder.name), int(os.environ["TOY_RESTARTS"])

    def nodes(self) -> tuple[str, ...]:
        return ("here",)

    def known(self) -> Job | None:
        return read_job(self.folder)

    def requeue(self) -> None:
        (self.folder / "requeue").touch()
        os.kill(os.getpid(), signal.SIGTERM)

    def address_of(self, node: str) -> str:
        return "127.0.0.1"

    def ranks_command(self, request: JobRequest, ranks: int, folder: Path) -> list[str]:
        return [*ITSELF, "ranks", str(ranks), str(folder), request.module, *request.arguments]

    def ranks_end(self, code: int, said: str) -> RanksEnd:
        lines = [line.split(maxsplit=2) for line in said.splitlines()]
        ends = [
            RankEnd("here", int(rank), Cause.KILLED if words.startswith("killed") else Cause.OTHER, words)
            for _, rank, words in lines
        ]
        return RanksEnd(code, tuple(ends), failed_node=None, out_of_memory=False, words=said)


def start_ranks(count: int, command: Sequence[str]) -> int:
    """Starts all ranks, each with its log; the first that ends badly ends all."""
    ranks = []
    for rank in range(count):
        with Path(command[0], "logs", f"rank-{rank}.log").open("ab") as log:
            words = [*ITSELF, "rank", str(rank), str(count), *command]
            ranks.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
    while any(rank.poll() is None for rank in ranks):
        for number, rank in enumerate(ranks):
            if rank.poll():
                how = f"killed by {-rank.returncode}" if rank.returncode < 0 else f"exit code {rank.returncode}"
                sys.stderr.write(f"toyrun: {number} {how}\n")
                for other in ranks:
                    other.terminate()
                    other.wait()
                return abs(rank.returncode)
        time.sleep(0.02)
    return max(rank.returncode for rank in ranks)


def main(program: str, arguments: Sequence[str]) -> int:
    """Runs one of the programs."""
    if program == "job":
        keep(Path(arguments[0]), Path(arguments[1]))
    elif program == "batch":
        folder = Path(arguments[0])
        return BatchJob(folder, read_request(folder, ToyJobRequest), ToyRunningJob()).run()
    elif program == "ranks":
        return start_ranks(int(arguments[0]), arguments[1:])
    else:
        rank, count = arguments[:2]
        place = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count}
        run_rank(arguments[2:], place, "here")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
