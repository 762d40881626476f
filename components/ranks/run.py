"""Carries a request out with as many ranks as the site has; what they refused is raised here, in their own words."""

from components.base.ports import Context, Launcher
from components.errors import WorkerFailed
from components.ranks.outcome import raise_refusal, read_outcome
from components.ranks.request import RankRequest


def run_ranks(request: RankRequest, context: Context, processes: int) -> None:
    """Has the ranks do what is not done yet; the same call again resumes with what is left.

    Raises a rank's own error if what the user gave was at fault; `WorkerFailed` if a process died, or if a signal stopped
    the ranks.
    """
    request.write()
    if kept := request.kept():
        context.journal.say(f"resuming, {kept}")
    if request.is_done():
        return
    launch(request, context.launcher, processes)
    if request.is_done():
        return
    outcome = read_outcome(request.outcome)
    if outcome is None:
        raise WorkerFailed(
            f"the ranks of {request.worker} ended without an outcome; their logs say why. Run the same command again."
        )
    raise WorkerFailed(
        f"stopped by {outcome.signal}{request.reached(outcome)}; what is done is kept: run the same command again to continue"
    )


def launch(request: RankRequest, launcher: Launcher, processes: int) -> None:
    """Starts the ranks and waits for them. Raises as `run_ranks` does, but for ranks that were stopped."""
    request.refusal.unlink(missing_ok=True)
    try:
        launcher.run(
            request.worker, [str(request.path)], processes=processes, environment=request.variables, outcome=request.outcome
        )
    except WorkerFailed as error:
        raise_refusal(request.refusal, printed=str(error))
        raise
