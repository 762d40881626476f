"""A finished run, asked for what a step saw and for the steps that saw a document: its own text, found both ways."""

import json
from pathlib import Path

from components.data.documents import heldout_ids, read_documents, training_files
from tests.e2e.conftest import Clone


def test_a_finished_runs_step_names_documents_of_its_clean_text_and_each_leads_back(
    tiny: Clone, undisturbed: Path
) -> None:
    batch = json.loads(tiny.run("batch", undisturbed.name, "--step", "3", "--json").stdout)
    assert (batch["run"], len(batch["samples"])) == (undisturbed.name, 16)
    documents = {
        document.id: document
        for path in training_files(undisturbed / "artifacts/clean", "*/*") for document in read_documents(path)
    }
    for sample in batch["samples"]:
        assert sample["text"].split()
        for span in sample["spans"]:
            assert span["document"] in documents
            assert span["document"] not in heldout_ids(undisturbed / "artifacts/clean")
    sample = batch["samples"][-1]
    document = documents[sample["spans"][0]["document"]]
    found = json.loads(tiny.run("find", undisturbed.name, "--document", document.uri, "--json").stdout)
    assert found["document"] == document.id
    seats = [(seen["step"], seen["rank"], seen["position"], seen["sample"]) for seen in found["seen"]]
    assert (3, sample["rank"], sample["position"], sample["sample"]) in seats
