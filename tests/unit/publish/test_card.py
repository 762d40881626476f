"""The model card says what was measured, recorded and checked: a golden file, and what must change it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import InputError
from components.publish.card import render_card
from components.publish.checks import ReleaseConfig
from components.publish.folder import FolderPublisher
from tests.support.builders.published import RELEASE, STAGES, invented_digests, make_record, make_scores

GOLDEN = Path(__file__).parents[2] / "golden/model_card.md"
CONFIG = ReleaseConfig({"model_type": "mistral", "max_position_embeddings": 2048}, None)


def card(reports: dict[str, dict[str, Any]] | None = None, without: str = "", **changes: Any) -> str:
    """The card of the invented run, with some reports' values changed."""
    records = []
    for stage in STAGES:
        record = make_record(stage, invented_digests())
        records.append(record.model_copy(update={"report": record.report | (reports or {}).get(stage, {})}))
    publisher = FolderPublisher.model_validate(RELEASE | changes)
    return render_card(publisher, [record for record in records if record.stage != without], make_scores(), CONFIG)


def front_matter(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_the_card_is_the_golden_one() -> None:
    assert card() == GOLDEN.read_text(encoding="utf-8")


def test_front_matter_is_yaml_with_a_base_model_only_where_it_is_a_repository() -> None:
    assert "base_model" not in front_matter(card())
    found = front_matter(card(base_model="mistralai/Mistral-7B-v0.1"))
    assert found["base_model"] == "mistralai/Mistral-7B-v0.1"
    assert found["language"] == ["ja", "en"]
    assert found["license"] == "apache-2.0"


def test_a_model_of_a_billion_tokens_is_not_called_a_demonstration() -> None:
    assert "not a useful model" in card()
    assert "not a useful model" not in card({"train": {"tokens": 1_000_000_000}})


def test_an_unchanged_vocabulary_is_said_to_be_unchanged() -> None:
    assert "The base model's 259 pieces, unchanged." in card({"expand": {"added_pieces": 0}})


def test_sources_of_a_language_that_was_turned_away_are_not_training_data() -> None:
    table = card().split("## Training data")[1].split("##")[0]
    assert "| handbook-fr" not in table
    assert "not trained on, being in another language: handbook-fr" in table


def test_a_missing_record_is_named() -> None:
    with pytest.raises(InputError, match="needs the records of expand"):
        card(without="expand")
