"""The form of an artifact: what is equal, what is refused, and that its names are stated once."""

from __future__ import annotations

import inspect
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from liteft.config import make_recipe, read_recipe, resolve_recipe
from liteft.errors import ConfigError
from liteft.form import ExportForm, FormOptions, form_with
from liteft.recipes import ExportRecipe

NAMES = [field.name for field in fields(ExportForm)]


def test_nothing_said_is_int8_with_a_scale_for_each_token() -> None:
    form = ExportForm()
    assert (form.precision, form.scheme, form.weight_bits, form.embedding_bits) == ("int8", "per_row", 8, 8)
    assert (form.calibration, form.mixed, form.flat, form.target) == (None, False, False, None)


def test_the_recipe_has_the_keys_and_the_defaults_of_the_form() -> None:
    assert set(NAMES) < set(ExportRecipe.model_fields)
    assert all(ExportRecipe.model_fields[name].default == getattr(ExportForm, name) for name in NAMES)
    assert ExportRecipe().form == ExportForm()


def test_the_keyword_options_of_export_are_the_fields_of_the_form() -> None:
    from liteft.exporting.exporter import export

    assert list(get_type_hints(FormOptions)) == NAMES
    assert not set(NAMES) & set(inspect.signature(export).parameters)  # they are its **options


@pytest.mark.parametrize("name", ["scheme", "weight_bits", "embedding_bits", "calibration"])
def test_what_does_not_apply_is_none_and_makes_no_difference(name: str) -> None:
    default: dict[str, Any] = {name: getattr(ExportForm, name)}
    assert ExportForm("fp16", **default) == ExportForm("fp16")
    assert getattr(ExportForm("fp16", **default), name) is None


def test_a_form_of_another_precision_and_back_is_the_same() -> None:
    assert replace(replace(ExportForm(), precision="fp32"), precision="int8") == ExportForm()


def test_a_form_for_triton_is_one_node_unless_flat_is_asked_for() -> None:
    assert not ExportForm(target="triton").flat and ExportForm(target="triton", flat=True).flat
    assert form_with(ExportForm(flat=True), target="triton").flat
    assert form_with(ExportForm(target="edge", flat=True), target="triton").target == "triton"


def test_the_edge_is_flat_whether_that_is_said_or_not() -> None:
    assert ExportForm(target="edge") == ExportForm(target="edge", flat=True)


@pytest.mark.parametrize(
    ("settings", "message", "fix"),
    [
        ({"precision": "in8"}, "precision 'in8' is unknown.", "--precision int8"),
        ({"scheme": "statik"}, "scheme 'statik' is unknown.", "--scheme static"),
        ({"weight_bits": 6}, "weight_bits 6 is unknown.", None),
        ({"mixed": None}, "mixed None is unknown.", None),
        ({"target": "edgy"}, "target 'edgy' is unknown.", "--target edge"),
        (
            {"precision": "fp32", "scheme": "static"},
            "scheme='static' applies to precision 'int8' only, and the precision is 'fp32'.",
            "--precision int8",
        ),
        (
            {"target": "edge", "flat": False},
            "target 'edge' is laid out as standard nodes, and flat is False.",
            None,
        ),
        (
            {"calibration": "mse"},
            "calibration='mse' applies to scheme 'static' only, and the scheme is 'per_row'.",
            "--scheme static",
        ),
        (
            {"precision": "fp16", "mixed": True},
            "mixed=True applies to precision 'int8' only, and the precision is 'fp16'.",
            "--precision int8",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str, fix: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        ExportForm(**settings)
    assert caught.value.message == message
    assert caught.value.accepted
    assert fix is None or caught.value.command_hints()[0] == fix


def test_a_recipe_whose_export_makes_no_sense_is_refused_when_its_form_is_asked_for() -> None:
    recipe = make_recipe({"export": {"precision": "fp32", "scheme": "static"}})
    with pytest.raises(ConfigError, match="applies to precision 'int8' only"):
        _ = recipe.export.form


def test_options_take_the_place_of_a_forms_fields() -> None:
    form = ExportForm(scheme="static", flat=True)
    assert form_with(form, calibration="mse", flat=None) == ExportForm(scheme="static", calibration="mse", flat=True)
    assert form_with(None, precision="fp32") == ExportForm("fp32")
    with pytest.raises(ConfigError, match="percision"):
        form_with(None, percision="fp32")  # type: ignore[call-arg]


def test_a_precision_that_is_given_goes_before_the_settings_of_int8_in_the_form() -> None:
    form = ExportForm(scheme="static", calibration="mse", mixed=True, embedding_bits=4, flat=True)
    assert form_with(form, precision="fp32") == ExportForm("fp32", flat=True)
    assert form_with(form, scheme="per_row") == ExportForm(mixed=True, embedding_bits=4, flat=True)
    assert form_with(form, target="edge").flat
    with pytest.raises(ConfigError, match="applies to precision 'int8' only"):
        form_with(form, precision="fp32", scheme="static")
    with pytest.raises(ConfigError, match="flat is False"):
        form_with(ExportForm(target="edge"), flat=False)


def test_a_precision_that_is_given_goes_before_the_settings_of_int8_in_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "liteft.toml"
    file.write_text('[export]\nscheme = "static"\ncalibration = "mse"\ntolerance = 1.0\n')
    asked = ExportForm("fp32")
    from_file = read_recipe(file, overrides={"export": {"precision": "fp32"}}).export
    over_recipe = resolve_recipe(read_recipe(file), "export", {"precision": "fp32"}).export
    assert from_file == over_recipe
    assert (from_file.form, from_file.tolerance) == (asked, 1.0)


def test_differences_are_named_and_another_precision_hides_the_settings_of_int8() -> None:
    assert ExportForm().differences(ExportForm(weight_bits=7)) == {"weight_bits": "8 -> 7"}
    assert ExportForm(weight_bits=7).differences(ExportForm("fp32")) == {"precision": "int8 -> fp32"}
    assert ExportForm().differences(ExportForm()) == {}


def test_what_rounds_more_coarsely_than_the_default_is_told_with_the_default() -> None:
    form = ExportForm(scheme="static", embedding_bits=4)
    assert form.coarser == {"embedding_bits": 8, "scheme": "per_row"}
    assert ExportForm("fp16").coarser == {}


def test_a_form_in_words() -> None:
    words = [form.describe() for form in (ExportForm("fp16"), ExportForm(weight_bits=7, embedding_bits=4))]
    assert words == ["fp16", "int8 per_row, 7-bit weights, 4-bit word embeddings"]


def test_the_layout_stays_in_another_precision() -> None:
    form = ExportForm(scheme="static", target="edge", mixed=True).in_precision("fp16")
    assert asdict(form) == asdict(ExportForm("fp16", target="edge"))
