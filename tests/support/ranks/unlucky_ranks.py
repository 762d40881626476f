"""Ranks that have bad luck once: rank 1 is killed in the first start, or fails by itself; later starts finish.

`python -m tests.support.ranks.unlucky_ranks FOLDER`: a file there says what rank 1 does (`killed`, `fails`, `waits`).
"""

import os
import signal
import sys
import time
from pathlib import Path

from components.formats.files import write_json


def main(folder: Path) -> None:
    """Rank 0 says that all is done once rank 1 does."""
    if os.environ["RANK"] == "1":
        suffer(folder)
        (folder / "done").touch()
        return
    while not (folder / "done").exists():
        time.sleep(0.02)
    sys.stdout.write('@progress {"done": 1, "total": 1, "text": ""}\n')
    write_json(folder / "outcome.json", {"finished": True})


def suffer(folder: Path) -> None:
    """Has the bad luck that a test asks for."""
    if (folder / "killed").exists():
        (folder / "killed").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if (folder / "fails").exists():
        raise ValueError("rank 1 does not like it")
    while (folder / "waits").exists():
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
