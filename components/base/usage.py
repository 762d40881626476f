"""What a stage's jobs took of a cluster, and how well they used it: hours and cost, goodput and MFU."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class Usage(BaseModel):
    """All starts of a stage's jobs together; of several stages if `total` added them up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    starts: int
    """How often ranks were started: submissions and requeues that came to run."""
    node_hours: float
    gpu_hours: float
    """GPUs that were held, busy or not."""
    queue_hours: float
    """Waiting before each start, added up."""
    goodput: float | None
    """Training steps that the result needed, as a share of those computed; None if nothing counted steps."""
    mfu: float | None
    """The training's mean share of the accelerators' peak, by time; None if not known."""
    cost: float | None
    """In `currency`; None if the site states no price."""
    currency: str | None

    def words(self) -> str:
        """In one line for people."""
        parts = [
            f"{self.starts:,} {'start' if self.starts == 1 else 'starts'}",
            hours(self.gpu_hours, "GPU-hours") if self.gpu_hours else hours(self.node_hours, "node-hours"),
            f"{waiting(self.queue_hours)} in the queue",
        ]
        parts += [] if self.goodput is None else [f"goodput {self.goodput:.1%}"]
        parts += [] if self.mfu is None else [f"MFU {self.mfu:.1%}"]
        parts += [] if self.cost is None else [f"{self.cost:,.2f} {self.currency}"]
        return ", ".join(parts)


def total(usages: Iterable[Usage]) -> Usage | None:
    """The sum over stages; None if there were no jobs. A share of steps or of time has no sum, nor have two currencies."""
    found = list(usages)
    if not found:
        return None
    costs = [usage.cost for usage in found if usage.cost is not None]
    currencies = {usage.currency for usage in found if usage.cost is not None}
    summable = len(currencies) == 1
    return Usage(
        starts=sum(usage.starts for usage in found),
        node_hours=sum(usage.node_hours for usage in found),
        gpu_hours=sum(usage.gpu_hours for usage in found),
        queue_hours=sum(usage.queue_hours for usage in found),
        goodput=None, mfu=None,
        cost=sum(costs) if summable else None, currency=currencies.pop() if summable else None,
    )  # fmt: skip


def significant(value: float) -> float:
    """Rounds to four significant digits: a fixed number of decimals would round a small model's slow step to nothing."""
    return float(f"{value:.4g}")


def waiting(number_of_hours: float) -> str:
    """A time in the queue, in words; it may be hardly any."""
    seconds = number_of_hours * 3600
    return f"{seconds:,.0f} s" if seconds < 60 else hours(number_of_hours, "hours")


def hours(number: float, unit: str) -> str:
    """A number of hours, in words; it may be large, or a few seconds."""
    if number < 0.001:
        return f"less than 0.001 {unit}"
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
