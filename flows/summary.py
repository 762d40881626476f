"""Summarises a run from its outcomes and records: per stage what happened, the seconds, and the main numbers."""

from pydantic import BaseModel

from components.base.usage import Usage, total
from components.params import STAGES
from components.records import Record, read_record
from flows.results.outcome import StageResult
from flows.workspace import Workspace


class Row(BaseModel):
    """One stage of the summary; `seconds` is what it took in this flow run."""

    stage: str
    outcome: str
    seconds: float
    headline: str
    usage: Usage | None = None
    """What the jobs that made the stage's result used, in whichever run; None: it had none."""


class Summary(BaseModel):
    """The whole run."""

    run: str
    commit: str
    tag: str
    seconds: float
    release: str
    rows: list[Row]

    @property
    def ran(self) -> int:
        """How many stages did work in this flow run."""
        return sum(row.outcome == "ran" for row in self.rows)

    @property
    def usage(self) -> Usage | None:
        """The usage of all stages together; None if no stage had a job."""
        return total(row.usage for row in self.rows if row.usage is not None)

    def markdown(self) -> str:
        """The summary as a Markdown table, and a second table if there were jobs."""
        head = f"# {self.run}\n\n{self.ran} of {len(self.rows)} stages ran, {self.seconds:.1f} s. Release: `{self.release}`.\n"
        table = ["", "| stage | outcome | seconds | numbers |", "|---|---|---:|---|"]
        table += [f"| {r.stage} | {r.outcome} | {r.seconds:.1f} | {r.headline.replace('|', '/')} |" for r in self.rows]
        foot = f"\nCommit `{self.commit[:12]}`, sealed as `{self.tag}`." if self.tag else f"\nCommit `{self.commit[:12]}`."
        return head + "\n".join(table) + "\n" + self.jobs_markdown() + foot + "\n"

    def jobs_markdown(self) -> str:
        """A table of what the jobs used; empty if there were none."""
        if self.usage is None:
            return ""
        rows = [(row.stage, row.usage.words()) for row in self.rows if row.usage is not None]
        lines = [f"| {stage} | {words} |" for stage, words in [*rows, ("together", self.usage.words())]]
        return "\n".join(["", "| jobs of | took |", "|---|---|", *lines]) + "\n"


def summarise(workspace: Workspace, results: dict[str, StageResult], seconds: float, tag: str) -> Summary:
    """Joins the outcomes of this flow run with what the records say."""
    return Summary(
        run=workspace.run,
        commit=workspace.commit,
        tag=tag,
        seconds=round(seconds, 1),
        release=str(workspace.path / "artifacts" / "publish"),
        rows=[row(read_record(workspace.records / stage), results[stage]) for stage in STAGES],
    )


def row(record: Record, result: StageResult) -> Row:
    """One line of the table."""
    return Row(
        stage=record.stage, outcome=result.outcome, seconds=result.seconds, headline=record.headline, usage=record.usage
    )
