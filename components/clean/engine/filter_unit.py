"""What a worker process does: it filters one unit of pages and writes the verdicts."""

from collections.abc import Callable, Iterator

from components.clean.engine.request import FilterRequest
from components.clean.engine.units import Unit, read_unit, true_start
from components.clean.engine.verdicts import Borders, write_verdicts
from components.clean.page import PageFilter, Verdict
from components.errors import InputError
from components.formats.manifest import warc_path


def filter_unit(request: FilterRequest, cleaner: PageFilter, unit: Unit, look: Callable[[], None]) -> None:
    """Filters the unit's pages; `look` is called before each, and may raise to have the unit dropped. Raises `InputError`."""
    if unit.begin == 0:
        filter_from(request, cleaner, unit, 0, look)
        return
    try:
        filter_from(request, cleaner, unit, None, look)
    except InputError:  # the file is damaged, or what was found there is part of a page
        filter_again(request, cleaner, unit, true_start(warc_path(request.sources, unit.name), unit), look)


def filter_again(
    request: FilterRequest, cleaner: PageFilter, unit: Unit, start: int | None, look: Callable[[], None]
) -> None:
    """Filters the unit's pages, given the place at which they begin; None if it has none. Raises `InputError`."""
    request.rows(unit.number).unlink(missing_ok=True)  # these rows are about texts that are replaced first
    if start is None:
        write_verdicts(request, unit.number, [], Borders())
    else:
        filter_from(request, cleaner, unit, start, look)


def filter_from(
    request: FilterRequest, cleaner: PageFilter, unit: Unit, start: int | None, look: Callable[[], None]
) -> None:
    """Filters the pages from `start` on; if it is None, from where they seem to begin."""
    borders = Borders()

    def verdicts() -> Iterator[Verdict]:
        for page in read_unit(warc_path(request.sources, unit.name), unit, start, borders):
            look()
            yield cleaner.filter(page)

    write_verdicts(request, unit.number, verdicts(), borders)
