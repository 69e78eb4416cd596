"""Segmentation and detection of torchvision, built by name; random weights, small images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model_weights

import interpretkit as ik

SEGMENTERS = ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50"]
DETECTORS = ["fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn", "ssdlite320_mobilenet_v3_large"]


def image(size=64):
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_segmenter_is_explained_by_the_logits_of_its_pixels(name):
    model = ik.load_model("torchvision", name=name, device="cpu")
    assert len(model.classes or model.output.names) == 21
    found = ik.visualize(model, image(), "grad_cam", layers=["last_conv"])
    target = found.targets[0]
    module = model.module.eval()
    path = model.aliases["last_conv"]
    kept = []
    handle = module.get_submodule(path).register_forward_hook(lambda _m, _a, output: kept.append(output))
    logits = module(image())["out"]
    handle.remove()
    score = logits[0, target.index][torch.from_numpy(target.region.inside)].sum()
    (gradient,) = torch.autograd.grad(score, kept[0])
    expected = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1).detach()
    scale = expected.abs().max()
    torch.testing.assert_close(
        torch.from_numpy(found.maps["last_conv"].values) / scale, expected / scale, rtol=1e-3, atol=1e-4
    )
    assert target.score == pytest.approx(float(score.detach()), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "frames", "grid"), [("r3d_18", 8, (1, 7, 7)), ("mc3_18", 4, (4, 7, 7)), ("swin3d_t", 8, (4, 7, 7))]
)
def test_a_network_of_clips_is_explained_frame_by_frame(name, frames, grid):
    model = ik.load_model("torchvision", name=name, device="cpu", frames=frames)
    assert len(model.classes) == 400
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8))
    expected = get_model_weights(name).DEFAULT.transforms()
    frame = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
    fed = model.preprocessing(photo)
    torch.testing.assert_close(fed, expected(torch.stack([frame] * frames)))
    found = ik.visualize(model, [photo], "grad_cam", layers=["last_conv"], target=3)
    cam = found.maps["last_conv"]
    assert cam.dims == ("image", "z", "y", "x")
    assert cam.grid.cells == grid
    assert found.images[0].pixels.shape == (frames, *fed.shape[2:], 3)
    with torch.no_grad():
        assert found.targets[0].score == pytest.approx(float(model.module.eval()(fed[None])[0, 3]), rel=1e-3)
    (figure,) = ik.draw(found)
    assert "Slices of greatest sum of magnitudes" in figure.caption


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_is_explained_by_the_score_of_a_box(name):
    more = {} if name.startswith("ssd") else {"shorter_side": 64}
    model = ik.load_model("torchvision", name=name, device="cpu", num_classes=4, score_threshold=0.0, **more)
    found = ik.visualize(model, image(), "grad_cam", layers=["last_conv"])
    with torch.no_grad():
        (boxes,) = model.module.eval()(image())
    best = int(boxes["scores"].argmax())
    assert found.targets[0].score == pytest.approx(float(boxes["scores"][best]), rel=1e-4)
    assert found.targets[0].spec["class"] == int(boxes["labels"][best])
    assert np.isfinite(found.maps["last_conv"].values).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "fcn_resnet5"}, "no network 'fcn_resnet5' .did you mean"),
        ({"name": "resnet18", "score_threshold": 0.0}, "resnet18 finds no boxes, so there is no score_threshold"),
        ({"name": "ssd300_vgg16", "shorter_side": 64}, "ssd300_vgg16 takes images of one size"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ik.RecipeError, match=message):
        ik.load_model("torchvision", device="cpu", **options)


def test_the_names_are_those_of_the_published_weights():
    assert ik.load_model("torchvision", name="ssdlite320_mobilenet_v3_large", device="cpu").output.names[1] == "person"
