from __future__ import annotations

import pytest
from PIL import Image

import interpretkit as ik
from interpretkit.testing import tiny_images, tiny_model


@pytest.fixture(scope="module")
def features():
    return ik.visualize(tiny_model(), tiny_images(), "feature_grid", layers=["features"])


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_a_batch_size_below_one_is_refused(batch_size):
    with pytest.raises(ik.RecipeError, match="batch_size: "):
        ik.visualize(tiny_model(), tiny_images(), "feature_grid", layers=["features"], batch_size=batch_size)


def test_results_that_are_read_must_be_about_the_same_images(features):
    model = tiny_model()
    gradcam = ik.visualize(model, tiny_images(2), "grad_cam", layers=["features"], target=0)
    agreement = ik.visualize(model, tiny_images(2), "compare", of={"features": features, "gradcam": gradcam})
    assert [image.id for image in agreement.images] == ["image0", "image1"]
    with pytest.raises(ik.InputError, match="the result is not about image 'image2'"):
        ik.visualize(model, tiny_images(), "compare", of={"features": features, "gradcam": gradcam})


def test_a_result_about_the_whole_set_is_not_read_image_by_image(features):
    model = tiny_model()
    statistics = ik.visualize(model, tiny_images(), "channel_stats", layers=["features"])
    with pytest.raises(ik.InputError, match="'channels' is about the whole set of images"):
        statistics.select("image0")
    with pytest.raises(ik.RecipeError, match=r"compare reads steps that yield .*, and 'statistics' yields statistics"):
        ik.visualize(model, tiny_images(), "compare", of={"features": features, "statistics": statistics})


@pytest.mark.parametrize("several", [False, True])
def test_images_of_a_run_are_given_as_one_or_several_paths(tmp_path, several):
    Image.new("RGB", (40, 40), "teal").save(tmp_path / "a.png")
    (tmp_path / "plugin.py").write_text(
        "from interpretkit import ModelBuilder, hookimpl\n"
        "from interpretkit.testing import tiny_model\n"
        "class Tiny(ModelBuilder):\n"
        "    name = 'tiny'\n"
        "    def build(self, state):\n"
        "        return tiny_model()\n"
        "@hookimpl\n"
        "def interpretkit_models():\n"
        "    yield Tiny\n"
    )
    (tmp_path / "recipe.yaml").write_text(
        "{schema: interpretkit/1, name: one, model: {uses: tiny}, inputs: [nowhere.png],"
        " steps: [{id: look, uses: feature_grid, with: {layers: [features]}}]}"
    )
    path = tmp_path / "a.png"
    images = [path] if several else path
    more = {"plugins": [tmp_path / "plugin.py"], "output": tmp_path / "runs"}
    opened = ik.run(tmp_path / "recipe.yaml", images=images, **more)
    assert [image["source"] for image in opened.manifest["inputs"]] == [str(path)]


def test_what_is_no_visualizer_is_refused():
    with pytest.raises(ik.RecipeError, match="Visualizer does not define compute"):
        ik.visualize(tiny_model(), tiny_images(1), ik.Visualizer)
    with pytest.raises(ik.RecipeError, match="7 is not a class derived from Visualizer"):
        ik.visualize(tiny_model(), tiny_images(1), 7)
