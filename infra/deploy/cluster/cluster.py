"""Starts and stops a Slurm cluster of real daemons that keep their state below one folder."""

import fcntl
import os
import pwd
import re
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import ParameterError, ServiceError
from infra.deploy.cluster import CONFIGURATION
from infra.deploy.cluster.claims import claim, release
from infra.deploy.cluster.configuration import ClusterPlace, ClusterShape, configuration_files
from infra.deploy.cluster.installation import PATH, need_programs, slurm_version
from infra.deploy.cluster.members import Member, end, members

START_SECONDS = 60.0
COMMAND_SECONDS = 20.0
JOBS_END_SECONDS = 10.0
"""What killed jobs are given to end; what outlives that is killed without Slurm."""
DAEMON_ENDS_SECONDS = 10.0
POLL_SECONDS = 0.1
LOG_LINES = 12
READY = re.compile(r"(?:IDLE|MIXED|ALLOCATED)(?:\+(?:COMPLETING|PLANNED))*")
UNSAFE = re.compile(r"[^\w./+@-]")
"""A character that Slurm's configuration files do not read as part of a path."""
MARK = "MARTLET_CLUSTER"
"""The environment variable by which a cluster's daemons, and the processes that they start, are recognised."""
NODE = "SLURMD_NODENAME"
"""Slurm's variable with the node's name: every process of a job on a node has it, and here the node's daemon too."""
SLURMS_OWN = ("slurmd", "slurmstepd")
"""The programs that tell the controller how a job ended."""


class Cluster:
    """Slurm's daemons as processes of this user, on loopback, their state below one folder."""

    def __init__(self, folder: Path, shape: ClusterShape) -> None:
        """Starts nothing. Raises `ParameterError` if Slurm could not read the folder's path."""
        self.folder = folder.absolute()
        self.shape = shape
        self.configuration = self.folder / CONFIGURATION
        if found := UNSAFE.search(str(self.folder)):
            raise ParameterError(f"{self.folder}: {found[0]!r} means something in Slurm's files. Give another folder.")

    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to talk to this cluster."""
        return {"SLURM_CONF": str(self.configuration)}

    def start(self) -> None:
        """Starts the daemons that do not run yet, and returns when every node answers; running daemons and jobs are left alone.

        Raises `ServiceError` with the ends of the logs if that fails, and if a cluster of another shape lives here.
        """
        need_programs()
        with self._locked():
            place = self._configured()
            self._start_munge(place)
            self.start_controller()
            for name in self.shape.names:
                self._start_daemon("slurmd", ["-N", name], {NODE: name})
            for name in self.shape.names:
                self.start_node(name)

    def stop(self) -> None:
        """Ends every job, every daemon, and what outlived them; the logs stay. Does nothing if there is no cluster."""
        if not self.folder.exists() and not self.processes():
            return
        with self._locked():
            self.empty()
            for name in ("slurmctld", "slurmd", "munged"):  # each needs the later ones
                self._end(self._daemons(name))
            self._end(self.processes())
            self.configuration.unlink(missing_ok=True)
            release(self.folder)

    def empty(self) -> None:
        """Cancels every job and kills its processes, again and again: a job may have asked to be requeued."""
        until = time.monotonic() + JOBS_END_SECONDS
        while self._daemons("slurmctld") and not self.is_empty() and time.monotonic() < until:
            self._run(["scancel", "--user", user_name()], {})
            jobs = [member for member in self.processes() if NODE in member.variables and member.name not in SLURMS_OWN]
            end(jobs, signal.SIGKILL, POLL_SECONDS)
            time.sleep(POLL_SECONDS)

    def is_empty(self) -> bool:
        """Whether no job waits or runs; False if the controller does not say."""
        done = self._run(["squeue", "--noheader", "--format=%i"], {})
        return done.returncode == 0 and not done.stdout.strip()

    def processes(self, **variables: str) -> list[Member]:
        """The living processes of the cluster: its daemons, and its jobs' on every node."""
        found = members(**{MARK: str(self.folder)}, **variables)
        jobs = [member for member in members(**self.environment(), **variables) if NODE in member.variables]
        return list({member.pid: member for member in [*found, *jobs]}.values())

    def kill_node(self, name: str) -> None:
        """What a power cut does: the node's daemon and its jobs' processes are killed, and nobody is told."""
        while alive := self.processes(**{NODE: name}):  # what was started meanwhile is found in the next round
            if stuck := end(alive, signal.SIGKILL, DAEMON_ENDS_SECONDS):
                raise ServiceError(f"{name}: the kernel does not end {', '.join(f'{m.name} ({m.pid})' for m in stuck)}.")

    def start_node(self, name: str) -> None:
        """Starts the node's daemon, resumes the node if it was taken down, and returns when jobs can run there."""
        self._start_daemon("slurmd", ["-N", name], {NODE: name})
        if (state := self.node_state(name)).startswith("DOWN") or "DRAIN" in state:
            # refused if the node has come back meanwhile
            self._run(["scontrol", "update", f"NodeName={name}", "State=RESUME"], {})
        self._wait_until(lambda: self.node_answers(name), "slurmd", {NODE: name})

    def start_controller(self) -> None:
        """Starts the controller and returns when it answers."""
        self._start_daemon("slurmctld", [], {})
        self._wait_until(lambda: self._run(["scontrol", "ping"], {}).returncode == 0, "slurmctld", {})

    def stop_controller(self) -> None:
        """Ends the controller; jobs run on, and commands are told that it cannot be reached."""
        self._end(self._daemons("slurmctld"))

    def restart_controller(self) -> None:
        """Stops the controller, then starts it again."""
        self.stop_controller()
        self.start_controller()

    def node_state(self, name: str) -> str:
        """Such as `IDLE`, `MIXED+COMPLETING`, `DOWN+NOT_RESPONDING`; empty if the controller does not answer.

        As scontrol says it: sinfo still says `mixed` for a while after a job's end, even about a node that is down.
        """
        found = re.search(r" State=(\S+)", self._run(["scontrol", "--oneliner", "show", "node", name], {}).stdout)
        return found[1] if found else ""

    def node_answers(self, name: str) -> bool:
        """Whether jobs can run on the node, or do."""
        return READY.fullmatch(self.node_state(name)) is not None

    def command(self, *arguments: str) -> str:
        """Standard output of one of Slurm's commands. Raises `ServiceError` with the command's words if it fails."""
        done = self._run(list(arguments), {})
        if done.returncode:
            raise ServiceError(f"`{' '.join(arguments)}` failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _configured(self) -> ClusterPlace:
        """Writes the configuration; if daemons run already, it must be the one that they were started with."""
        place = self._place()
        for name in ("logs", "state", "spool", "gpus"):
            (self.folder / name).mkdir(exist_ok=True)
        for number in range(self.shape.gpus):
            if not (gpu := self.folder / f"gpus/gpu{number}").is_symlink():
                gpu.symlink_to("/dev/null")
        for path, text in configuration_files(self.shape, place).items():
            if self._daemons("slurmctld") and path.read_text(encoding="utf-8") != text:
                raise ServiceError(f"a cluster of another shape lives in {self.folder}. Stop it first, or give another folder.")
            path.write_text(text, encoding="utf-8")
        return place

    def _place(self) -> ClusterPlace:
        """Where the cluster lives; claims its ports."""
        host = socket.gethostname().partition(".")[0]
        loopback = loopback_address(host)
        sockets = claim(self.folder)
        return ClusterPlace(
            folder=self.folder, sockets=sockets, port=int(sockets.name), user=user_name(), version=slurm_version(),
            host=host, address=loopback or "127.0.0.1", binds_address=loopback is not None,
        )

    def _start_munge(self, place: ClusterPlace) -> None:
        """Munge with a key and a socket of its own, next to the machine's if it has one."""
        key = place.sockets / "munge.key"
        if not key.exists():
            key.touch(0o600)
            key.write_bytes(os.urandom(128))
        files = {"socket": "munge.socket", "seed-file": "munge.seed", "pid-file": "munged.pid", "log-file": "munged.log"}
        options = [f"--{option}={place.sockets / name}" for option, name in files.items()]
        self._start_daemon("munged", [f"--key-file={key}", *options, "--num-threads=2"], {})

    def _start_daemon(self, program: str, arguments: list[str], variables: dict[str, str]) -> None:
        """Starts a daemon, unless it runs already; it goes into the background by itself."""
        if self._daemons(program, **variables):
            return
        done = self._run([program, *arguments], {MARK: str(self.folder), **variables})
        if done.returncode:
            raise ServiceError(f"{program} did not start: {(done.stderr or done.stdout).strip()}\n{self._log_ends()}")

    def _run(self, command: list[str], variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """Runs a command whose environment holds only what is named here; a command that takes too long has failed."""
        plain = {name: os.environ[name] for name in ("HOME", "USER", "LANG", "TZ") if name in os.environ}
        environment = {**plain, "PATH": PATH, **self.environment(), **variables}
        try:
            return subprocess.run(
                command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                check=False, timeout=COMMAND_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"no answer within {COMMAND_SECONDS:g} s")

    def _daemons(self, program: str, **variables: str) -> list[Member]:
        """The cluster's living daemons of one kind."""
        return [member for member in self.processes(**variables) if member.name == program]

    def _end(self, found: list[Member]) -> None:
        """Asks the processes to end, and kills those that do not."""
        end(end(found, signal.SIGTERM, DAEMON_ENDS_SECONDS), signal.SIGKILL, DAEMON_ENDS_SECONDS)

    def _wait_until(self, is_so: Callable[[], bool], program: str, variables: dict[str, str]) -> None:
        """Waits until `is_so`; raises `ServiceError` with the ends of the logs if the daemon ended, or takes too long."""
        until = time.monotonic() + START_SECONDS
        while not is_so():
            ended, late = not self._daemons(program, **variables), time.monotonic() > until
            if ended or late:
                trouble = "ended" if ended else f"is not ready within {START_SECONDS:g} s"
                raise ServiceError(f"{' '.join([program, *variables.values()])} {trouble}.\n{self._log_ends()}")
            time.sleep(POLL_SECONDS)

    def _log_ends(self) -> str:
        """The last lines of every log."""
        texts = []
        for path in sorted((self.folder / "logs").glob("*.log")):
            with path.open(encoding="utf-8", errors="replace") as stream:
                texts.append(f"the end of {path}:\n{''.join(deque(stream, LOG_LINES))}")
        return "\n".join(texts)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One start or stop at a time. Raises `ServiceError` if this user may not write there."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / "lock").open("w")
        except PermissionError as error:
            raise ServiceError(f"{error.filename} is not yours to write. Choose another place with --folder.") from None
        with stream as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def user_name() -> str:
    """Who runs the cluster. Raises `ServiceError` for a bare number, such as a container may run as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ServiceError(f"user {os.geteuid()} has no name in /etc/passwd, and Slurm wants one.") from None


def loopback_address(host: str) -> str | None:
    """The loopback address that this machine's name stands for; None if it stands for another address, or for none."""
    try:
        address = socket.gethostbyname(host)
    except OSError:
        return None
    return address if address.startswith("127.") else None
