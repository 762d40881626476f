"""Lines of metrics become points that MLflow accepts."""

from infra.tracking.values import curve_points


def test_every_number_of_a_line_becomes_a_point_and_nested_ones_get_names_that_mlflow_accepts() -> None:
    line = {"step": 3, "time": 5, "loss": 1.5, "source_loss": {"ja/*": 2.0, "en/*": 1}, "expert_load/0": 0.5, "spike": True}
    points = curve_points("train", line | {"note": "words are no points", "none": None})
    assert {point.key: point.value for point in points} == {
        "train/loss": 1.5, "train/source_loss.ja/_": 2.0, "train/source_loss.en/_": 1.0, "train/expert_load/0": 0.5,
        "train/spike": 1.0,
    }  # fmt: skip
    assert {(point.step, point.timestamp) for point in points} == {(3, 5)}
