"""Calls Slurm's commands (sbatch, squeue, scontrol, sacct, scancel, sinfo), and reads jobs and numbers from their output."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from components.errors import ServiceError
from infra.scheduler.errors import JobRefused, SchedulerMissing, SchedulerUnreachable
from infra.scheduler.jobs import ENDED, Job
from infra.slurm.jobs import PASSING, PHASE_OF, SACCT, read_minutes, read_sacct, read_scontrol
from infra.slurm.refusals import remedy

SECONDS = 30.0
"""The limit for one command; Slurm's own limit for an answer (MessageTimeout) is 10 by default."""
PASSED_ON = re.compile(r"PATH|HOME|USER|LANG|LC_\w+|SLURM_CONF|TZ")
"""All that Slurm's commands see of our environment: sbatch sends what it sees to the controller, which keeps it."""
UNREACHABLE = re.compile(
    "unable to contact slurm controller|socket timed out|connection (?:refused|timed out|reset)|connect failure"
    "|communication connection failure|communication shutdown failure|zero bytes were transmitted|transport endpoint"
    "|standby mode|controller not responding|temporarily un|munge|authentication credential|no route to host",
    re.IGNORECASE,
)
UNCONFIGURED = re.compile("configuration source|unable to process configuration|cannot stat file", re.IGNORECASE)
FOR_GOOD = re.compile("invalid", re.IGNORECASE)
NO_SUCH_JOB = re.compile("invalid job id", re.IGNORECASE)
NUMBER = re.compile(r"^(\d+)(?:;\S+)?$", re.MULTILINE)

Done = subprocess.CompletedProcess[str]


class Slurm:
    """One cluster's commands, in an environment that holds no secret.

    Every method raises `SchedulerUnreachable` if Slurm does not answer, and `ServiceError` if it is not installed, not
    configured, or prints what is not understood.
    """

    def __init__(self, configuration: Path | None, seconds: float = SECONDS) -> None:
        """`configuration` is a slurm.conf; None: the one that SLURM_CONF names, or the machine's. `seconds` limit a command."""
        self.configuration = configuration
        self.seconds = seconds

    def submit(self, script: Path, stage: str, held: int | None = None) -> int:
        """Submits a stage's batch script; returns the job's number. sbatch keeps the descriptor `held` open to its own end.

        Raises `JobRefused`. After `SchedulerUnreachable` the job may exist all the same: look for its name.
        """
        done = self._run("sbatch", "--parsable", str(script.absolute()), held=held)
        if done.returncode:
            words = said(done)
            raise JobRefused(f"Slurm refused {script}: {words} {remedy(words, stage)}")
        if not (found := NUMBER.search(done.stdout)):
            raise ServiceError(f"sbatch took {script} and printed no number: {done.stdout.strip()!r}. See `squeue --me`.")
        return int(found[1])

    def objection(self, script: Path, stage: str) -> str:
        """Why Slurm would never take a stage's script, and the next step; "" if it may take it. Submits nothing.

        Reasons that may pass do not count: Slurm says the same about nodes that are down for now as about missing ones.
        """
        done = self._run("sbatch", "--test-only", str(script.absolute()))
        words = said(done)
        return f"{words} {remedy(words, stage)}" if done.returncode and FOR_GOOD.search(words) else ""

    def longest_minutes(self, partition: str | None) -> int | None:
        """The time limit of a partition (None: of the default one), in minutes; None if it has none, or sinfo does not tell.

        sbatch takes a longer job as well, unless the cluster has EnforcePartLimits; such a job would wait forever.
        """
        chosen = [f"--partition={partition}"] if partition else []
        for line in self._answered("sinfo", "--noheader", "--format=%P|%l", *chosen).stdout.splitlines():
            name, _, limit = line.strip().partition("|")
            if partition or name.endswith("*"):
                return read_minutes(limit)
        return None

    def named(self, name: str) -> list[Job]:
        """The living jobs of this user that have exactly that name, newest last."""
        done = self._answered(
            "squeue", "--noheader", "--states=all", f"--user={os.getuid()}", f"--name={name}", "--format=%A|%T"
        )
        rows = [line.partition("|") for line in done.stdout.split()]
        if wrong := [row for row in rows if not row[0].isdecimal()]:
            raise ServiceError(f"squeue printed what Martlet does not understand: {''.join(wrong[0])!r}.")
        numbers = sorted(int(number) for number, _, state in rows if PHASE_OF.get(state) not in ENDED)
        found = (self.job(number) for number in numbers)
        return [job for job in found if job is not None and job.living and job.name == name]

    def job(self, number: int) -> Job | None:
        """What is known of a job, from the controller or from accounting; None if neither remembers it.

        `SchedulerUnreachable` means that the controller does not answer and accounting does not know how the job ended.
        """
        try:
            told = self._shown(number)
        except SchedulerUnreachable:
            accounted = self._accounted(number)
            if accounted is None or accounted.living or accounted.state in PASSING:
                raise
            return accounted
        if told is not None:
            return read_scontrol(told)
        accounted = self._accounted(number)
        # a job that the controller forgot is over, even if accounting never heard of its end
        return accounted if accounted is not None and not accounted.living else None

    def cancel(self, number: int, *, kill: bool = False) -> None:
        """Ends a job for good: SIGTERM, and SIGKILL after the cluster's KillWait; with `kill`, its ranks at once.

        A job that ended already is left alone.
        """
        # otherwise a batch script that sees its ranks end could bring the job back: Slurm requeues even a cancelled job
        self._run("scontrol", "update", f"JobId={number}", "Requeue=0")
        if kill:
            self._run("scancel", "--quiet", "--signal=KILL", f"{number}.0")
        done = self._run("scancel", "--quiet", str(number))
        if done.returncode and not NO_SUCH_JOB.search(said(done)):
            raise ServiceError(f"scancel could not end job {number}: {said(done)}")

    def exclude(self, number: int, nodes: Sequence[str]) -> None:
        """Keeps a waiting job away from these nodes, and from no others."""
        self._told_to("update", f"JobId={number}", f"ExcNodeList={','.join(nodes)}")

    def requeue(self, number: int) -> None:
        """Ends a job's run and puts it back into the queue."""
        self._told_to("requeue", str(number))

    def names_of(self, nodes: str) -> list[str]:
        """The names in a node list (`node[1-2]`), in its order."""
        return self._told_to("show", "hostnames", nodes).split()

    def address_of(self, nodes: str) -> str:
        """The address of the first node of a list, from the cluster's configuration: names need not resolve."""
        name = self.names_of(nodes)[0]
        text = self._told_to("show", "node", name, "--oneliner")
        if not (found := re.search(r" NodeAddr=(\S+) ", text)):
            raise ServiceError(f"scontrol says no address of node {name}: {text.strip()[:400]!r}")
        return found[1]

    def _shown(self, number: int) -> str | None:
        """The controller's line about a job; None if it knows no job of that number."""
        done = self._run("scontrol", "show", "job", "--oneliner", str(number))
        if done.returncode == 0:
            return done.stdout
        if NO_SUCH_JOB.search(said(done)):
            return None
        raise SchedulerUnreachable(f"scontrol show job {number}: {said(done)}")

    def _accounted(self, number: int) -> Job | None:
        """A job as accounting knows it; None if there is no accounting, or it does not answer or knows nothing."""
        options = ["--noheader", "--parsable2", "--allocations", "--duplicates", f"--format={SACCT}"]
        try:
            done = self._run("sacct", *options, f"--jobs={number}")
        except (SchedulerUnreachable, SchedulerMissing):
            return None
        return read_sacct(done.stdout) if done.returncode == 0 else None

    def _told_to(self, *arguments: str) -> str:
        """Standard output of scontrol. Raises `ServiceError` with its words if it refuses."""
        done = self._run("scontrol", *arguments)
        if done.returncode:
            raise ServiceError(f"`scontrol {' '.join(arguments)}` was refused: {said(done)}")
        return done.stdout

    def _answered(self, *command: str) -> Done:
        """The answer of a command that asks. Raises `SchedulerUnreachable` for any failure: nothing is known then."""
        done = self._run(*command)
        if done.returncode:
            raise SchedulerUnreachable(f"{command[0]}: {said(done)}")
        return done

    def _run(self, *command: str, held: int | None = None) -> Done:
        """Runs one command. Raises if it is missing, finds no configuration, or Slurm does not answer it."""
        try:
            done = subprocess.run(
                command, env=self._environment(utc=command[0] != "sbatch"), stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", timeout=self.seconds, check=False, pass_fds=() if held is None else (held,),
                start_new_session=True,  # Ctrl-C must not cut off an sbatch that may have submitted already
            )  # fmt: skip
        except FileNotFoundError:
            raise SchedulerMissing(
                f"Slurm's {command[0]} is not on PATH. Start from a node of the cluster where jobs are submitted, or set "
                "MARTLET_SITE to a site without Slurm."
            ) from None
        except subprocess.TimeoutExpired:
            raise SchedulerUnreachable(f"{command[0]} gave no answer within {self.seconds:g} s.") from None
        words = said(done)
        if done.returncode and UNCONFIGURED.search(words):
            raise ServiceError(f"{command[0]} does not find its cluster: {words} Set SLURM_CONF to the cluster's slurm.conf.")
        if done.returncode and UNREACHABLE.search(words):
            raise SchedulerUnreachable(f"{command[0]}: {words}")
        return done

    def _environment(self, *, utc: bool) -> dict[str, str]:
        """The variables of a command; `utc`: it prints its times in UTC, which no change of clocks makes ambiguous."""
        kept = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
        if self.configuration is not None:
            kept["SLURM_CONF"] = str(self.configuration)
        named = kept.get("SLURM_CONF")
        if named is not None and not Path(named).exists():  # Slurm itself would wait a minute for it
            raise ServiceError(f"there is no Slurm configuration {named}. Start the cluster, or set SLURM_CONF to another.")
        return kept | ({"TZ": "UTC"} if utc else {})


def said(done: Done) -> str:
    """What a command had to say, in one line."""
    lines = [line.partition("error: ")[2] or line for line in (done.stderr.strip() or done.stdout.strip()).splitlines()]
    return " ".join(line.strip().rstrip(".") + "." for line in lines) or f"it ended with {done.returncode} and no words."
