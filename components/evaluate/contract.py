"""What `evaluate` promises: a model and its base in, scores side by side out."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from components.base.component import Component, Report
from components.base.ports import Context


class EvaluateReport(Report):
    """Scores by task, and bits per byte of held-out text by language, of the base model and the trained one."""

    base: dict[str, float]
    model: dict[str, float]
    base_bits_per_byte: dict[str, float]
    model_bits_per_byte: dict[str, float]

    def headline(self) -> str:
        """Bits per byte and scores, before and after."""
        bits = (
            f"{lang} {self.base_bits_per_byte[lang]:.3f} → {self.model_bits_per_byte[lang]:.3f}"
            for lang in sorted(self.base_bits_per_byte, reverse=True)
        )
        scores = (f"{name} {self.base[name]:.3f} → {self.model[name]:.3f}" for name in self.base)
        return f"bits per byte {', '.join(bits)}; {', '.join(scores)}"


class Evaluator(Component):
    """Writes `scores.json`, `scores.md`, `scores.png` and `samples/` below `output`."""

    distributed: ClassVar[bool] = True

    @abstractmethod
    def run(self, context: Context, model: Path, base: Path, text: Path, output: Path) -> EvaluateReport:
        """`text` is the output of `clean`: its held-out documents measure bits per byte."""
