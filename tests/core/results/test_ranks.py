"""Targets that ask for the top classes: one map for each, for every visualizer."""

from __future__ import annotations

import numpy as np
import pytest

import interpretkit as ik
from interpretkit.testing import tiny_images, tiny_model

IMAGES = tiny_images(3)


def grad_cam(target):
    return ik.visualize(tiny_model(), IMAGES, "grad_cam", layers=["features"], target=target)


def ranked_classes():
    return tiny_model().module(IMAGES).argsort(1, descending=True).tolist()


def test_each_of_the_top_classes_has_the_map_that_it_has_alone():
    together = grad_cam({"top": 3})
    assert list(together.maps) == ["features top 1", "features top 2", "features top 3"]
    for position, classes in enumerate(ranked_classes()):
        for rank, index in enumerate(classes, 1):
            alone = grad_cam(index).maps["features"].values[position]
            np.testing.assert_array_equal(together.maps[f"features top {rank}"].values[position], alone)


def test_targets_stand_image_by_image():
    together = grad_cam({"top": 2})
    found = [[target.index for target in together.targets_of(image.id)] for image in together.images]
    assert found == [classes[:2] for classes in ranked_classes()]
    assert [target.index for target in together.select("image2").targets] == found[2]
    assert [target.index for target in together.targets] == [index for each in found for index in each]


def test_the_first_of_the_top_is_the_prediction():
    np.testing.assert_array_equal(
        grad_cam({"top": 2}).maps["features top 1"].values, grad_cam("predicted").maps["features"].values
    )


def test_each_class_has_a_figure_that_says_its_own_target():
    result = grad_cam({"top": 2})
    figures = ik.draw(result)
    assert [figure.name for figure in figures] == ["features top 1", "features top 2"] * 3
    for figure, target in zip(figures, result.targets, strict=True):
        assert str(target) in figure.alt


def test_a_step_that_reads_them_finds_one_map_for_each():
    found = ik.visualize(tiny_model(), IMAGES, "compare", of={"cam": grad_cam({"top": 2})})
    assert set(found.tables["pairs"]["first"].tolist()) == {"cam/features top 1", "cam/features top 2"}


def test_tables_have_a_column_for_the_rank_and_figures_see_their_own_rows():
    seen = []

    class Scores(ik.Visualizer):
        name = "scores"

        def needs(self):
            return ik.Needs(target=ik.Top(top=2))

        def compute(self, captured):
            ids = [image.id for image in captured.images]
            return ik.Result(
                tables={"scores": ik.Table(image=ids, score=[target.score for target in captured.targets])}
            )

        def draw(self, result):
            seen.append(
                (
                    result.targets[0].score,
                    result.tables["scores"].columns.keys(),
                    result.tables["scores"]["score"].tolist(),
                )
            )
            return ()

    from interpretkit.contracts.registry import Plugin
    from interpretkit.engine.batch import compute
    from interpretkit.engine.draw import draw
    from interpretkit.engine.plan import Plan, plan_step
    from interpretkit.engine.resolve import Step
    from interpretkit.inputs.batch import tensor_batches

    model = tiny_model()
    step = Step(id="scores", visualizer=Scores(Scores.Options()), plugin=Plugin("test"), model="model")
    plan = Plan(models={"model": model}, steps=(plan_step(step, model),))
    (batch,) = tensor_batches(IMAGES, plan.models, batch_size=3)
    result = compute(plan, batch).results["scores"]
    assert result.tables["scores"]["top"].tolist() == [1, 1, 1, 2, 2, 2]
    list(draw(step.visualizer, result))
    assert len(seen) == 6
    for score, columns, rows in seen:
        assert set(columns) == {"image", "score"}
        assert rows == [score]


def test_more_classes_than_there_are_is_an_error():
    with pytest.raises(ik.InputError, match="the model has 3 classes, so there is no top 4"):
        grad_cam({"top": 4})


def test_top_takes_a_whole_number_from_1():
    with pytest.raises(ik.RecipeError, match="top"):
        grad_cam({"top": 0})


def test_a_run_keeps_all_targets_and_opens_again(tmp_path):
    recipe = tmp_path / "top.yaml"
    recipe.write_text(
        "{schema: interpretkit/1, name: top, model: {uses: repvgg, with: {variant: custom, depths: [1, 1, 1, 1],"
        " widths: [4, 4, 4, 8], num_classes: 5}}, inputs: [sample:grace_hopper], steps: [{id: cam, uses: grad_cam,"
        " with: {layers: [stage4], target: {top: 2}}}, {id: agreement, uses: compare, of: [cam], figures: false}]}"
    )
    run = ik.run(recipe, output=tmp_path / "runs")
    assert run.status == "complete"
    result = run.results["cam"]
    assert list(result.maps) == ["stage4 top 1", "stage4 top 2"]
    assert [target.probability for target in result.targets] == sorted(
        (t.probability for t in result.targets), reverse=True
    )
    cam, agreement = run.manifest["steps"]
    assert [figure["name"] for figure in cam["figures"]] == ["stage4 top 1", "stage4 top 2"]
    assert agreement["figures"] == []
    assert len(run.results["agreement"].tables["pairs"]) == 4
    page = (run.path / "report.html").read_text()
    for target in result.targets:
        assert f"(class {target.index})" in page or f"class {target.index}" in page
