"""What the how-to pages show is what the project has, to the letter, where it has it."""

from pathlib import Path

from tests.support.how_to import ROOT, files_of

CLEANER, SCHEDULE = "components/clean/length.py", "components/train/schedules/wsd.py"


def test_the_schedule_of_the_how_to_is_the_projects() -> None:
    assert files_of("add-a-component.md")[SCHEDULE] == (ROOT / SCHEDULE).read_text(encoding="utf-8")


def test_the_lines_of_the_how_to_are_the_projects_but_for_the_cleaner() -> None:
    page = (ROOT / "docs/how-to/add-a-component.md").read_text(encoding="utf-8")
    places = [("components/params.py", "Clean", " | LengthCleaner"), ("components/train/parameters.py", "Schedule", "")]
    for file, name, added in places:
        (line,) = [line for line in page.splitlines() if line.startswith(f"{name} = ")]
        assert line.replace(added, "") in (ROOT / file).read_text(encoding="utf-8").splitlines()


def test_the_cleaner_of_the_how_to_is_nobodys_yet() -> None:
    assert CLEANER in files_of("add-a-component.md")
    assert not Path(ROOT / CLEANER).exists()
