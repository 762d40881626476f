"""Packs nothing, and writes an index that says so: for a base model that comes trained."""

from pathlib import Path
from typing import ClassVar, Literal

from components.base.ports import Context
from components.pack.contract import Packer, PackReport


class PassthroughPacker(Packer):
    """Packs nothing; whoever reads its output as token shards is told so."""

    kind: Literal["passthrough"]
    version: Literal[1]
    is_passthrough: ClassVar[bool] = True

    def run(self, context: Context, text: Path, model: Path, output: Path) -> PackReport:  # noqa: ARG002
        """Writes an `index.json` without sources."""
        from components.data.token_shards import write_nothing

        write_nothing(output)
        context.journal.say("nothing was packed (kind: passthrough)")
        return PackReport(documents={}, tokens={}, weights={}, windows={})
