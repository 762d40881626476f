"""Launches ranks that are forked from one process that has imported everything: a start takes 1 s instead of 10 s.

`python -m tests.support.ranks.forked_ranks` is that process: it reads one launch per line from standard input, and writes the
ranks' exit codes. The real launcher has tests of its own (`integration/infra/test_local.py`), and trains in `e2e/`.
"""

import atexit
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from components.errors import WorkerFailed
from infra.processes import die_with_parent, dying_with_parent
from tests.support.fakes import NoJobs

WARM = ("components.train.loop.steps", "torch._inductor.compile_fx", "transformers.models.mistral.modeling_mistral")


@dataclass(frozen=True)
class Launch:
    """A module to be run in `processes` ranks, and the folder of their logs."""

    module: str
    arguments: list[str]
    variables: dict[str, str]
    logs: str
    processes: int


class ForkedRanks(NoJobs):
    """Satisfies `components.base.ports.Launcher`; each rank has one thread."""

    def __init__(self, logs: Path) -> None:
        """`logs` gets one file per rank, appended to."""
        self.logs = logs

    def run(
        self, module: str, arguments: Sequence[str], *, processes: int, environment: Mapping[str, str],
        outcome: Path | None = None,
    ) -> None:
        """Runs the module in `processes` ranks. Raises `WorkerFailed` with their exit codes and the logs' ends."""
        self.logs.mkdir(parents=True, exist_ok=True)
        if outcome is not None:
            outcome.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="martlet-") as folder:
            variables = {**os.environ, **environment, "MARTLET_RENDEZVOUS": (Path(folder) / "rendezvous").as_uri()}
            codes = ask(Launch(module, list(arguments), variables, str(self.logs), processes))
        if any(codes):
            ends = "".join(path.read_text(errors="replace")[-2000:] for path in sorted(self.logs.glob("rank-*.log")))
            raise WorkerFailed(f"{module}: ranks ended with {codes}\n{ends}")


def ask(launch: Launch) -> list[int]:
    """The exit codes of a launch's ranks."""
    server = warm_process()
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps(asdict(launch)) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    if not answer:
        raise WorkerFailed(f"the process that ranks are forked from ended with {server.wait()}: did something kill it?")
    codes: list[int] = json.loads(answer)
    return codes


@cache
def warm_process() -> "subprocess.Popen[str]":
    """The process that ranks are forked from: started for the first launch, it ends with this process.

    The first launch is the main thread's: the kernel ends a child with the thread that started it.
    """
    assert threading.current_thread() is threading.main_thread(), "call warm_process() before the threads begin"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.ranks.forked_ranks"], cwd=Path(__file__).parents[3], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=dying_with_parent(signal.SIGKILL),  # noqa: PLW1509  (no lock)
    )
    atexit.register(server.communicate)  # the end of its input is its end
    return server


def fork(launch: Launch, rank: int) -> int:
    """Starts one rank of a launch; returns its pid."""
    if pid := os.fork():
        return pid
    die_with_parent()
    code = 1
    try:
        place(launch, rank)
        run_as_main(launch.module)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  (as the interpreter would: the traceback, and exit code 1)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def place(launch: Launch, rank: int) -> None:
    """Sets the rank's variables, arguments and log."""
    log = os.open(Path(launch.logs) / f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    silence = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((silence, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": launch.processes, "LOCAL_WORLD_SIZE": launch.processes}
    os.environ.update(launch.variables)
    os.environ.update({name: str(number) for name, number in numbers.items()} | {"GLOO_SOCKET_IFNAME": "lo"})
    sys.argv[1:] = launch.arguments


def run_as_main(module: str) -> None:
    """Runs the module as `python -m` would, even if it is imported already."""
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__")


def warm_up() -> None:
    """Imports what the first engine of a process would: the forks find it there."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    from components.train.loop.worker import prepare_deepspeed

    prepare_deepspeed()
    for name in WARM:
        import_module(name)


def serve() -> None:
    """Runs launch after launch until the input ends; if one rank fails, kills the others, which would wait for it forever."""
    for line in sys.stdin:
        launch = Launch(**json.loads(line))
        ranks = [fork(launch, rank) for rank in range(launch.processes)]
        codes: dict[int, int] = {}
        while len(codes) < len(ranks):
            pid, status = os.wait()
            codes[pid] = os.waitstatus_to_exitcode(status)
            if codes[pid]:
                for rank in set(ranks) - codes.keys():
                    os.kill(rank, signal.SIGKILL)
        sys.stdout.write(json.dumps([codes[rank] for rank in ranks]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    warm_up()
    serve()
