from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.model.outputs.columns import Placed

IMAGES = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))


class Depth(nn.Module):
    """A network that returns values `(image, value, y, x)`, or `(image, y, x)`."""

    def __init__(self, *, values=1, flat=False, axes=2, stride=1):
        super().__init__()
        torch.manual_seed(0)
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
        self.body, self.head, self.flat = conv(3, 4, 3, padding=1, stride=stride), conv(4, values, 1), flat

    def forward(self, images):
        values = nn.functional.softplus(self.head(torch.relu(self.body(images))))
        return values[:, 0] if self.flat else values


def returned(net, images=IMAGES):
    with torch.no_grad():
        return net(images).double()


def explained(net, target, method="saliency", images=IMAGES, **output):
    options = {"layers": ["body"]} if method == "grad_cam" else {}
    return ik.visualize(ik.wrap(net.eval(), output=ik.PixelValues(**output)), images, method, target=target, **options)


def gradient_map(net, score_of):
    activation = net.body(IMAGES).detach().requires_grad_()
    values = nn.functional.softplus(net.head(torch.relu(activation)))
    (gradient,) = torch.autograd.grad(score_of(values).sum(), activation)
    return (gradient.mean((2, 3), keepdim=True) * activation).sum(1).detach().numpy()


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("over", ["mean", "sum"])
def test_the_score_is_the_mean_or_sum_of_the_value_over_the_image(flat, over):
    net = Depth(flat=flat)
    found = explained(net, "predicted", "grad_cam", names=["depth"], units=["m"], over=over)
    expected = getattr(returned(Depth()), over)((1, 2, 3)).tolist()
    assert [target.score for target in found.targets] == pytest.approx(expected, rel=1e-6)
    (target, _) = found.targets
    assert (target.label, target.quantity, target.unit) == ("depth", f"{over} value", "m over 96 pixels")
    assert np.isnan(target.probability)
    map_ = gradient_map(Depth(), lambda values: getattr(values, over)((1, 2, 3)))
    np.testing.assert_allclose(found.maps["body"].values, map_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_box_and_a_point_are_pixels_of_what_the_network_is_fed(stride):
    values = returned(Depth(stride=stride))[0, 0]
    (boxed, _) = explained(Depth(stride=stride), {"box": [2, 0, 6, 4]}).targets
    assert boxed.score == pytest.approx(float(values[: 4 // stride, 2 // stride : 6 // stride].mean()), rel=1e-6)
    assert boxed.spec == {"class": 0, "box": [2.0, 0.0, 6.0, 4.0]}
    (pointed, _) = explained(Depth(stride=stride), {"point": [7, 3]}, over="sum").targets
    assert pointed.score == pytest.approx(float(values[3 // stride, 7 // stride]), rel=1e-6)


def test_a_mask_is_a_region():
    mask = np.zeros((8, 12), np.bool_)
    mask[2:5, 3:9] = True
    image = ik.InputImage(id="a", source="", sha256="", size=(12, 8), mask=mask)
    values = returned(Depth())[:1]
    (target,) = ik.PixelValues().targets(Placed.model_validate({"in": "mask"}), values, [image])
    assert target.score == pytest.approx(float(values[0, 0, 2:5, 3:9].mean()), rel=1e-12)
    assert float(ik.PixelValues().score(values, [target])[0]) == pytest.approx(target.score, rel=1e-12)


def test_several_values_are_told_by_name_or_index():
    net = Depth(values=2)
    (target, _) = explained(net, "down", names=["along", "down"], units=["px", ""]).targets
    assert target.score == pytest.approx(float(returned(net)[0, 1].mean()), rel=1e-6)
    assert target.unit == "over 96 pixels"
    with pytest.raises(ik.InputError, match=r"several values, and none comes first \(name one: along, down\)"):
        explained(net, "predicted", names=["along", "down"])
    with pytest.raises(ik.InputError, match=r"several values, and none comes first \(name one: 0 to 1\)"):
        explained(net, "predicted")
    assert explained(net, 1).targets[0].label == "1"


@pytest.mark.parametrize(("axes", "size"), [(1, (9,)), (3, (2, 4, 5))])
@pytest.mark.parametrize("flat", [False, True])
def test_signals_and_volumes_have_values_for_their_cells(axes, size, flat):
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    net = Depth(axes=axes, flat=flat)
    (target,) = explained(net, "predicted", images=images).targets
    assert target.region.size == size
    assert target.score == pytest.approx(float(returned(net, images).mean()), rel=1e-6)


def test_passes_of_its_own_keep_the_region():
    net = Depth()
    steps = {
        "map": ik.step("saliency", target={"box": [2, 0, 6, 4]}),
        "curves": ik.step("deletion_insertion", of=["map"], random_orders=1, steps=2),
    }
    found = ik.visualize(ik.wrap(net.eval(), output=ik.PixelValues(over="sum")), IMAGES[:1], steps)
    curve = found["curves"].tables["curves"].where("curve", "deletion").where("order", "map")
    assert curve["score"][0] == pytest.approx(float(returned(net)[0, 0, :4, 2:6].sum()), rel=1e-5)


def test_the_report_lists_the_means():
    output = ik.PixelValues(names=["depth"], units=["m"])
    ((found,), _) = output.summary(returned(Depth()))
    assert found.score == pytest.approx(float(returned(Depth())[0].mean()), rel=1e-12)
    assert (found.label, found.quantity, found.unit) == ("depth", "mean value", "m")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("deep", "no value 'deep'"),
        ("label", "this output has values and no classes"),
        ({"in": "prediction"}, "in the whole image, in: mask, in a box or at a point"),
        ({"top": 2}, "no target"),
        ({"for": "depth", "against": 0}, "no target"),
        ({"box": [0, 0, 1, 99]}, "is not in this image of 8×12 pixels"),
    ],
)
def test_what_is_no_target_is_refused(target, message):
    with pytest.raises((ik.InputError, ik.RecipeError), match=message):
        explained(Depth(), target, names=["depth"])


def test_units_are_one_for_each_name_and_the_score_is_a_mean_or_a_sum():
    with pytest.raises(ik.InputError, match="2 units for 1 value name"):
        ik.PixelValues(names=["depth"], units=["m", "s"])
    with pytest.raises(ik.InputError, match="their mean or their sum, not 'median'"):
        ik.PixelValues(over="median")
    with pytest.raises(ik.StepError, match="returns 2 values for each pixel, for 1 value name"):
        explained(Depth(values=2), 0, names=["depth"])


def test_numbers_that_are_no_values_of_pixels_are_refused():
    with pytest.raises(ik.StepError, match=r"not a value for each pixel \(image, y, x\).*PixelValues\(axes=…\)"):
        ik.PixelValues().targets(0, torch.zeros(2, 3), [None, None])
    volume = torch.zeros(1, 4, 5, 6)
    assert ik.PixelValues(axes=3).targets(0, volume, [None])[0].region.size == (4, 5, 6)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("classes", [[], ["depth"]])
def test_where_nothing_is_said_the_error_names_them(flat, classes):
    with pytest.raises(ik.StepError, match=r"a value for each pixel, such as a depth: wrap\(…, output=PixelValues"):
        ik.visualize(ik.wrap(Depth(flat=flat).eval(), classes=classes), IMAGES, "saliency")


def test_rows_of_a_depth_are_not_read_as_classes_of_pixels():
    with pytest.raises(ik.StepError, match=r"no axis for classes .*say PixelValues\(names=…\)"):
        ik.visualize(ik.wrap(Depth(flat=True).eval(), output=ik.Pixels()), IMAGES, "saliency")
