"""Runs one stage in a job: `python -m components.stage_job FILE` reads its call and leaves the result in the scratch folder.

The door writes the file on the machine that the flow runs on. The job carries the call out on one of the cluster's nodes, in
the same workspace, and the door takes the result. A job's result survives the door: if the door dies, the next one takes it.
"""

import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from components.base.component import Component, Report
from components.base.fields import Fields
from components.base.ports import Context, Launcher
from components.context import build_context
from components.errors import MartletError, WorkerFailed
from components.formats.files import link_files, write_text
from components.params import component_of, load_params
from components.ranks.outcome import raise_refusal, write_refusal
from infra.disk import disk_error
from infra.settings import Settings

REFUSAL = "refusal.json"
"""Next to the call's file: the error of a component that a person can mend (`components.ranks.outcome`)."""


class StageCall(Fields):
    """What a stage is asked to do; its parameters are in `params.yaml`."""

    stage: str
    inputs: dict[str, Path]
    output: Path
    fingerprint: str


class Answer(Fields):
    """A stage's report, as its record keeps it."""

    report: dict[str, Any]
    headline: str


def carry_out(component: Component, context: Context, call: StageCall) -> Answer:
    """Runs the component in this process."""
    report: Report = component.run(context, **call.inputs, output=call.output)  # type: ignore[attr-defined]
    return Answer(report=report.model_dump(mode="json"), headline=report.headline())


def answer_in_a_job(jobs: Launcher, context: Context, call: StageCall) -> Answer:
    """Has a job carry the call out, unless one did before, and puts its output in place.

    Raises the component's own error, or `WorkerFailed` if the job ended otherwise.
    """
    folder = context.scratch / "door"  # apart from the component's own files
    result, call_file = folder / "result", folder / "call.json"
    if not result.exists():
        # inputs stay relative to the workspace, which the job works in too: its messages name them the same way
        write_text(call_file, call.model_copy(update={"output": result}).model_dump_json(indent=2))
        refusal = folder / REFUSAL
        refusal.unlink(missing_ok=True)
        try:
            jobs.run("components.stage_job", [str(call_file)], processes=1, environment={})
        except WorkerFailed as error:
            raise_refusal(refusal, printed=str(error))
            raise
    link_files(result / "output", call.output)
    return Answer.model_validate_json((result / "answer.json").read_bytes())


def main(path: Path) -> None:
    """Carries the call out; the result appears when it is whole."""
    call = StageCall.model_validate_json(path.read_bytes())
    if call.output.exists():
        return  # the job was started again although it had come to its end
    component = component_of(load_params(Path("params.yaml")), call.stage)
    context = build_context(Settings(), call.stage, call.fingerprint)
    partial = call.output.with_name(f".{call.output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    answer = carry_out(component, context, call.model_copy(update={"output": partial / "output"}))
    write_text(partial / "answer.json", answer.model_dump_json())
    partial.rename(call.output)


if __name__ == "__main__":
    # the signal warns of the time limit; nothing could be saved for later, and the time that is left may suffice
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        main(Path(sys.argv[1]))
    except Exception as problem:
        refusal = problem if isinstance(problem, MartletError) else disk_error(problem, Settings())
        if refusal is None:
            raise
        write_refusal(Path(sys.argv[1]).with_name(REFUSAL), refusal)
        sys.exit(f"error: {refusal}")
