"""The picture: its points are the numbers, and its labels can be read."""

from __future__ import annotations

import itertools
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.errors import ConfigError, MissingExtraError, RunError
from liteft.installation import install_hint
from liteft.report.diagnosis_pictures import require_folder
from liteft.report.picture import draw, figure_of, require_drawable
from liteft.report.placing import Box, Label, place_labels
from liteft.report.result import Comparison
from liteft.tasks import MULTI_LABEL

matplotlib = pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
Make = Callable[..., Comparison]
SPREAD = (
    ("torch teacher", 0.926, 14.2, 438.0),
    ("torch student", 0.897, 3.4, 69.1),
    ("fp32", 0.897, 1.45, 69.0),
    ("fp16", 0.897, 1.5, 34.6),
    ("int8", 0.896, 0.62, 17.3),
)
CROWD = tuple((f"model {number}", 0.9 + 0.001 * (number % 3), 2 + 0.01 * number, 20.0) for number in range(8))


def scatter_of(figure: Any, gid: str) -> Any:
    (found,) = [collection for collection in figure.axes[0].collections if collection.get_gid() == gid]
    return found


def label_boxes(figure: Any) -> list[Any]:
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]


def png_size(content: bytes) -> tuple[int, int]:
    """Check every chunk of a PNG and return its width and height."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    kinds, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        body = content[at + 4 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(body)
        kinds.append(body[:4])
        at += 12 + length
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_the_file_is_a_whole_png(invented: Make, tmp_path: Path) -> None:
    path = draw(invented(*SPREAD), tmp_path / "new folder" / "models.png")
    assert path == tmp_path / "new folder" / "models.png"
    width, height = png_size(path.read_bytes())
    assert width > height > 500
    assert [file.name for file in path.parent.iterdir()] == ["models.png"]


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF-"), ("PNG", b"\x89PNG")])
def test_the_ending_says_the_format(ending: str, start: bytes, invented: Make, tmp_path: Path) -> None:
    assert draw(invented(*SPREAD[:2]), tmp_path / f"models.{ending}").read_bytes().startswith(start)


def test_the_same_comparison_gives_the_same_bytes(invented: Make, tmp_path: Path) -> None:
    one, two = (draw(invented(*SPREAD), tmp_path / f"{name}.png").read_bytes() for name in "ab")
    assert one == two


def test_points_are_latency_and_quality(invented: Make) -> None:
    figure = figure_of(invented(*SPREAD))
    expected = [[latency, 100 * accuracy] for _, accuracy, latency, _ in SPREAD]
    for gid in ("sizes", "centres"):
        np.testing.assert_allclose(scatter_of(figure, gid).get_offsets(), expected)


def test_a_measured_comparison_is_drawn_as_measured(mixed: Comparison) -> None:
    offsets = scatter_of(figure_of(mixed), "centres").get_offsets()
    numbers = mixed.to_dict()["models"]
    expected = [[model["latency_p50_ms"], 100 * model["metrics"]["accuracy"]] for model in numbers]
    np.testing.assert_allclose(offsets, expected)


def test_a_circles_area_is_the_files_size(invented: Make) -> None:
    sizes = scatter_of(figure_of(invented(*SPREAD)), "sizes").get_sizes()
    megabytes = np.array([model[3] for model in SPREAD])
    np.testing.assert_allclose(sizes / sizes[0], megabytes / megabytes[0])


def test_bars_are_the_intervals_and_the_range_over_rounds(invented: Make) -> None:
    comparison = invented(*SPREAD)
    bars = [collection.get_segments()[0] for collection in figure_of(comparison).axes[0].collections[:-2]]
    for number, model in enumerate(comparison.models):
        upright, across = bars[2 * number], bars[2 * number + 1]
        np.testing.assert_allclose(upright[:, 1], 100 * np.array(model.intervals["accuracy"]))
        assert model.speed is not None
        np.testing.assert_allclose(across[:, 0], [0.9 * model.speed.p50_ms, 1.2 * model.speed.p50_ms])


@pytest.mark.parametrize("models", [SPREAD, CROWD, SPREAD[:1]])
def test_no_label_covers_another_or_leaves_the_axes(models: Any, invented: Make) -> None:
    figure = figure_of(invented(*models))
    boxes = label_boxes(figure)
    assert len(boxes) == 2 * len(models)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    frame = figure.axes[0].get_window_extent(figure.canvas.get_renderer())
    for box in boxes:
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


def test_every_model_is_labelled_with_its_name_quality_and_size(invented: Make) -> None:
    texts = [text.get_text() for text in figure_of(invented(*SPREAD)).axes[0].texts]
    assert {model[0] for model in SPREAD} <= set(texts)
    assert "92.6%, 438 MB" in texts and "89.6%, 17.3 MB" in texts


def test_a_name_is_no_formula_and_a_long_one_is_shortened(invented: Make) -> None:
    name = "runs/$x_1$/" + "a" * 60 + "/the_end"
    texts = [text.get_text() for text in figure_of(invented((name, 0.9, 1.0, 1.0))).axes[0].texts]
    assert texts[0].startswith("runs/$x_1$/") and texts[0].endswith("/the_end") and "…" in texts[0]


def test_latencies_far_apart_stand_on_a_logarithmic_axis_with_plain_numbers(invented: Make) -> None:
    figure = figure_of(invented(*SPREAD))
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    figure.canvas.draw()
    low, high = axis.get_xlim()
    ticks = zip(axis.get_xticks(), axis.get_xticklabels(), strict=True)
    shown = [label.get_text() for place, label in ticks if low <= place <= high]
    assert shown == ["0.5", "1", "2", "5", "10", "20"]


def test_latencies_close_together_stand_on_a_linear_axis(invented: Make) -> None:
    assert figure_of(invented(*CROWD)).axes[0].get_xscale() == "linear"


def test_every_point_lies_inside_the_axes(invented: Make) -> None:
    axis = figure_of(invented(("right", 1.0, 0.5, 10.0), ("wrong", 0.0, 400.0, 0.01))).axes[0]
    assert axis.get_xlim()[0] < 0.5 and axis.get_xlim()[1] > 400
    assert axis.get_ylim()[0] < 0 and axis.get_ylim()[1] > 100


def test_several_labels_a_text_are_drawn_by_micro_f1(invented: Make) -> None:
    comparison = invented(*SPREAD[:2])
    scores = {"micro_f1": 0.61, "macro_f1": 0.4, "exact_match": 0.5}
    models = tuple(replace(model, scores=scores, intervals={"micro_f1": (0.6, 0.63)}) for model in comparison.models)
    figure = figure_of(replace(comparison, task=MULTI_LABEL, models=models))
    assert scatter_of(figure, "centres").get_offsets()[0][1] == pytest.approx(61)
    assert figure.axes[0].get_ylabel() == "micro F1, %"


def test_models_that_were_not_timed_cannot_be_drawn(pair: Comparison, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not timed"):
        draw(pair, tmp_path / "models.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["models", "models.jpeg", "models.txt"])
def test_an_unknown_suffix_is_refused(name: str, invented: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not have the suffix of a picture") as caught:
        draw(invented(*SPREAD), tmp_path / name)
    assert caught.value.accepted == {"suffixes": ".png, .svg, .pdf"}


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_drawn_again_over_itself_and_over_nothing_else(
    ending: str, invented: Make, tmp_path: Path
) -> None:
    path = tmp_path / f"models.{ending}"
    for _ in range(2):
        draw(invented(*SPREAD), path)
    path.write_bytes(b"somebody's own")
    with pytest.raises(RunError, match="was not drawn by LiteFT"):
        draw(invented(*SPREAD), path)
    assert path.read_bytes() == b"somebody's own"


def test_without_matplotlib_the_extra_is_named(invented: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    comparison = invented(*SPREAD)
    for doing in (
        lambda: draw(comparison, tmp_path / "models.png"),
        lambda: require_drawable(tmp_path / "models.png"),
        lambda: require_folder(tmp_path),
    ):
        with pytest.raises(MissingExtraError, match="matplotlib") as caught:
            doing()
        assert caught.value.fix == (install_hint("report"),)


def test_a_file_that_cannot_be_written_is_a_run_error(invented: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        draw(invented(*SPREAD), tmp_path / "file" / "models.png")


def test_drawing_leaves_pyplot_and_the_settings_alone(invented: Make, tmp_path: Path) -> None:
    (tmp_path / "comparison.pickle").write_bytes(pickle.dumps(invented(*SPREAD)))
    code = """
import pickle, sys, matplotlib
from liteft.report import draw
settings = lambda: {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
before = settings()
with open("comparison.pickle", "rb") as file:
    draw(pickle.load(file), "models.png")
assert "matplotlib.pyplot" not in sys.modules
assert settings() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_label_stands_beside_its_point_where_there_is_room() -> None:
    frame = Box(0, 0, 100, 100)
    (box,) = place_labels([Label(50, 50, 5, 20, 10)], [Box(45, 45, 55, 55)], frame, 2)
    assert (box.left, box.bottom, box.right, box.top) == pytest.approx((57, 45, 77, 55))


def test_a_label_at_the_edge_stays_inside_and_off_its_point() -> None:
    frame, point = Box(0, 0, 100, 100), Box(85, 45, 95, 55)
    (box,) = place_labels([Label(90, 50, 5, 20, 10)], [point], frame, 2)
    assert box.overlap(frame) == pytest.approx(box.area)
    assert box.overlap(point) == 0
    assert box.distance(90, 50) < 10


def test_points_in_one_place_get_labels_apart() -> None:
    labels = [Label(50, 50, 5, 20, 10)] * 6
    boxes = place_labels(labels, [], Box(0, 0, 100, 100), 2)
    assert all(one.overlap(other) == 0 for one, other in itertools.combinations(boxes, 2))
