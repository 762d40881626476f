"""A unit in, its verdicts' files out: what a worker process does."""

from collections.abc import Callable, Iterator

from components.clean.engine.filter_page import judge
from components.clean.engine.request import FilterRequest
from components.clean.engine.units import Unit, read_unit, true_start
from components.clean.engine.verdicts import Borders, Verdict, write_verdicts
from components.errors import InputError
from components.formats.manifest import warc_path


def filter_unit(call: FilterRequest, unit: Unit, look: Callable[[], None]) -> None:
    """Judges its pages; `look` is called before each, and may raise to have the unit dropped. Raises `InputError`."""
    if unit.begin == 0:
        filter_from(call, unit, 0, look)
        return
    try:
        filter_from(call, unit, None, look)
    except InputError:  # the file is damaged, or what was found there is part of a page
        filter_again(call, unit, true_start(warc_path(call.sources, unit.name), unit), look)


def filter_again(call: FilterRequest, unit: Unit, start: int | None, look: Callable[[], None]) -> None:
    """The same where the place is known at which its pages begin; None: it has none. Raises `InputError`."""
    call.rows(unit.number).unlink(missing_ok=True)  # it speaks of texts that are replaced first
    if start is None:
        write_verdicts(call, unit.number, [], Borders())
    else:
        filter_from(call, unit, start, look)


def filter_from(call: FilterRequest, unit: Unit, start: int | None, look: Callable[[], None]) -> None:
    """Judges the pages from `start` on; None: from where they seem to begin."""
    borders = Borders()

    def verdicts() -> Iterator[Verdict]:
        for page in read_unit(warc_path(call.sources, unit.name), unit, start, borders):
            look()
            yield judge(call.cleaner, page)

    write_verdicts(call, unit.number, verdicts(), borders)
