"""Networks that are not asked as they must be: the error says what would work, and that works."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interpretkit as ik


def small(channels: int, classes: int) -> nn.Sequential:
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
    return nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), *pooled).eval()


def images(channels: int = 3) -> torch.Tensor:
    return torch.rand(3, channels, 8, 8, generator=torch.Generator().manual_seed(0))


class InChunks(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small(3, 2)

    def forward(self, batch):
        return torch.cat([self.net(image) for image in batch.split(1)])


def test_a_layer_that_is_called_for_each_image_is_looked_at_one_image_at_a_time():
    model = InChunks().eval()
    with pytest.raises(ik.StepError, match=r"net.0 was called 3 times \(each call sees other images.*batch_size=1"):
        ik.visualize(model, images(), "grad_cam", layers=["net.0"])
    found = ik.visualize(model, images(), "grad_cam", layers=["net.0"], batch_size=1).maps["net.0"].values
    expected = ik.visualize(model.net, images(), "grad_cam", layers=["0"]).maps["0"].values
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_network_of_grey_images_is_told_how_to_be_fed_from_files(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    with pytest.raises(ik.StepError, match=r"grey images: wrap\(….*ik.Preprocessing\(mean=\(0.5,\), std=\(0.25,\)\)"):
        ik.visualize(small(1, 2), images(), "saliency")
    model = ik.wrap(small(1, 2), transform=ik.Preprocessing(mean=(0.5,), std=(0.25,), resize=8, crop=8))
    assert ik.visualize(model, str(tmp_path / "grey.png"), "saliency").maps["input"].values.shape[-2:] == (8, 8)


class Mask(nn.Module):
    def __init__(self, axes):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)
        self.axes = axes

    def forward(self, batch):
        classes = self.conv(batch)
        return classes[:, 0] if self.axes == "image y x" else classes.movedim(1, -1)


def test_a_mask_without_classes_is_no_row_of_classes():
    net = Mask("image y x").eval()
    with pytest.raises(ik.StepError, match=r"return \(image, 1, y, x\), and say wrap\(…, output=Pixels\(\)\)"):
        ik.visualize(net, images(), "saliency")
    with pytest.raises(ik.StepError, match="no axis for classes"):
        ik.visualize(ik.wrap(net, output=ik.Pixels()), images(), "saliency")
    with pytest.raises(ik.StepError, match="no axis of classes"):
        ik.visualize(ik.wrap(net, output=ik.Pixels(names=tuple("abcdefgh"))), images(), "saliency")


@pytest.mark.parametrize("names", [(), tuple("abcde")])
def test_classes_that_come_last_are_no_rows_of_pixels(names):
    net = Mask("image y x class").eval()
    with pytest.raises(ik.StepError, match=r"return values.movedim\(-1, 1\)"):
        ik.visualize(ik.wrap(net, output=ik.Pixels(names=names)), images(), "saliency")


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.animal, self.colour = small(3, 2), small(3, 3)

    def forward(self, batch):
        return self.animal(batch), self.colour(batch)


def test_a_class_of_the_second_output_is_asked_of_it():
    heads = {
        "animal": ik.Classes(key=0, names=("cat", "dog")),
        "colour": ik.Classes(key=1, names=("red", "green", "Blue")),
    }
    net = TwoHeads().eval()
    model = ik.wrap(net, output=heads)
    with pytest.raises(ik.InputError, match=r"'blue' is a class of the output 'colour'.*{of: colour, class: blue}"):
        ik.visualize(model, images(), "saliency", target="blue")
    found = ik.visualize(model, images(), "saliency", target={"of": "colour", "class": "blue"})
    scores = net(images())[1][:, 2].tolist()
    assert [target.score for target in found.targets] == pytest.approx(scores, rel=1e-5)
    assert [target.label for target in found.targets] == ["Blue"] * 3


def test_a_label_that_an_image_has_not_is_given_in_python_or_in_a_file():
    with pytest.raises(ik.InputError, match=r"\(image, label\) in Python, the column `label` of a CSV file"):
        ik.visualize(small(3, 2), images(), "saliency", target="label")


def test_a_network_exported_for_batches_of_one_gives_the_numbers_of_the_network():
    net = small(3, 2)
    exported = torch.export.export(net, (images()[:1],)).module()
    found = ik.visualize(exported, images(), "saliency", target=1, batch_size=1).maps["input"].values
    np.testing.assert_allclose(found, ik.visualize(net, images(), "saliency", target=1).maps["input"].values, atol=1e-6)


class Drawing(nn.Module):
    """Refuses to be deterministic, in torch's words; so do quantised layers, and many operations of a GPU."""

    def __init__(self):
        super().__init__()
        self.net = small(3, 2)

    def forward(self, batch):
        if torch.are_deterministic_algorithms_enabled():
            raise RuntimeError("quantized_resize_cpu_ does not have a deterministic implementation, but you set …")
        return self.net(batch)


def test_an_operation_that_is_not_deterministic_is_allowed_in_a_recipe(tmp_path):
    network = Drawing().eval()
    with pytest.raises(ik.StepError, match=r"one of its operations .*numerics: {deterministic: false}") as caught:
        ik.visualize(network, images(), "saliency", target=0)
    assert "images of this size" not in str(caught.value)
    steps = [{"id": "saliency", "uses": "saliency", "with": {"target": 0}}]
    recipe = {"schema": "interpretkit/1", "name": "drawn", "steps": steps, "numerics": {"deterministic": False}}
    run = ik.run(recipe, model=network, images=images(), output=tmp_path)
    expected = ik.visualize(network.net, images(), "saliency", target=0).maps["input"].values
    np.testing.assert_allclose(run.results["saliency"].maps["input"].values, expected, atol=1e-7)
