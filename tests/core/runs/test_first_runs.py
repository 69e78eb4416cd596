from __future__ import annotations

import pytest

from interpretkit.runs.first_runs import brought_up, with_geometry

FACTS = {"label": "cat", "score": 9.5, "probability": 0.5, "against_label": ""}


@pytest.mark.parametrize(
    ("classes", "more", "brought"),
    [
        ({"index": 3, "against": None}, {}, {"spec": 3, "quantity": "logit"}),
        ({"index": 3, "against": 4}, {}, {"spec": {"for": 3, "against": 4}, "quantity": "logit difference"}),
        ({"index": 3, "against": None}, {"score": 0.5}, {"spec": 3, "quantity": "output"}),
        ({"index": -1, "against": None}, {}, {"spec": "class_token", "quantity": "norm"}),
    ],
)
def test_a_target_of_the_first_runs_becomes_one_as_a_recipe_writes_it(classes, more, brought):
    manifest = {"name": "n", "steps": [{"id": "cam", "targets": {"photo": {**classes, **FACTS, **more}}}]}
    targets = {"photo": [{**FACTS, **more, **brought}]}
    assert brought_up(manifest) == {"name": "n", "steps": [{"id": "cam", "targets": targets}]}


def test_several_targets_of_an_image_keep_their_order():
    targets = [{"index": number, "against": None, **FACTS} for number in (7, 2)]
    (step,) = brought_up({"steps": [{"targets": {"photo": targets}}]})["steps"]
    assert [each["spec"] for each in step["targets"]["photo"]] == [7, 2]


@pytest.mark.parametrize(
    ("dims", "extent"),
    [(["image", "y", "x"], {"y": 20, "x": 30}), (["x", "y"], {"x": 30, "y": 20}), (["first", "second"], {})],
)
def test_height_and_width_become_the_extent_of_the_axes_that_a_map_has(dims, extent):
    facts = {"dims": dims, "layer": "stage4"}
    assert with_geometry({**facts, "input_size": [20, 30]}) == {**facts, "extent": extent, "spacing": {}}


def test_maps_of_runs_that_do_not_say_where_cells_lie_tile_the_input_evenly():
    facts = {"dims": ["y", "x"], "layer": "stage4", "extent": {"y": 20, "x": 30}}
    assert with_geometry(facts) == {**facts, "spacing": {}}
    placed = {**facts, "spacing": {"y": [0.5, 2.0]}}
    assert with_geometry(placed) == placed


@pytest.mark.parametrize(
    "steps",
    [
        [{"maps": [{"dims": ["x"], "extent": {"x": 9}}], "targets": {"photo": [{"spec": 3}]}}],
        [{"maps": [{"dims": "y", "input_size": [1]}], "targets": 7}],
        ["cam", None],
        {"cam": 1},
        None,
    ],
)
def test_what_is_of_today_or_no_data_of_a_run_stays_as_it_is(steps):
    assert brought_up({"steps": steps}) == {"steps": steps}
    assert brought_up({}) == {}
