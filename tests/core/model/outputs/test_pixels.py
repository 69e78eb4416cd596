from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.model.outputs.columns import Placed

NAMES = ("__background__", "cat", "dog")
IMAGES = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))


class Segmenter(nn.Module):
    def __init__(self, *, stride=1, axes=2):
        super().__init__()
        torch.manual_seed(0)
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
        self.body = conv(3, 4, 3, padding=1, stride=stride)
        self.head = conv(4, 3, 1)

    def forward(self, images):
        return {"out": self.head(torch.relu(self.body(images))), "aux": None}


@pytest.fixture
def model():
    return ik.wrap(Segmenter().eval(), output=ik.Pixels(names=NAMES))


def logits_of(model, images=IMAGES):
    with torch.no_grad():
        return model.module(images)["out"]


def explained(model, target, images=IMAGES, method="grad_cam"):
    return ik.visualize(model, images, method, target=target, **({"layers": ["body"]} if method == "grad_cam" else {}))


def test_the_score_is_the_sum_of_the_logits_where_the_class_is_predicted(model):
    logits = logits_of(model)
    found = explained(model, "dog")
    activation = model.module.body(IMAGES).detach().requires_grad_()
    inside = logits.argmax(1) == 2
    score = (model.module.head(torch.relu(activation))[:, 2] * inside).sum((1, 2))
    (gradient,) = torch.autograd.grad(score.sum(), activation)
    expected = (gradient.mean((2, 3), keepdim=True) * activation).sum(1).detach()
    torch.testing.assert_close(torch.from_numpy(found.maps["body"].values), expected)
    for target, each, region in zip(found.targets, score.tolist(), inside.numpy(), strict=True):
        assert target.score == pytest.approx(each, rel=1e-6)
        assert (target.spec, target.label, target.quantity) == (2, "dog", "logit sum")
        np.testing.assert_array_equal(target.region.inside, region)
        assert np.isnan(target.probability)


def test_predicted_is_the_class_of_most_pixels_besides_the_background(model):
    logits = logits_of(model)
    logits[:, 0] += 100
    logits[:, 0, 0, :4] -= 200
    logits[:, 1, 0, :3] += 50
    logits[:, 2, 0, 3] += 50
    (one, other) = model.output.targets(*model.output.single("predicted"), logits, [None, None])
    assert (one.label, one.region.cells, other.label) == ("cat", 3, "cat")
    (second,) = {each.label for each in model.output.targets(model.output.single(ik.Top(top=2))[1], logits, [None] * 2)}
    assert second == "dog"
    named = replace(model.output, names=(), background=0)
    assert named.targets(*named.single(None), logits, [None, None])[0].index == 1


@pytest.mark.parametrize("stride", [1, 2])
def test_a_box_and_a_point_are_pixels_of_what_the_network_is_fed(stride):
    model = ik.wrap(Segmenter(stride=stride).eval(), output=ik.Pixels(names=NAMES))
    logits = logits_of(model)
    (boxed, _) = explained(model, {"class": "dog", "box": [2, 0, 6, 4]}).targets
    assert boxed.score == pytest.approx(float(logits[0, 2, : 4 // stride, 2 // stride : 6 // stride].sum()), rel=1e-6)
    assert boxed.spec == {"class": 2, "box": [2.0, 0.0, 6.0, 4.0]}
    (pointed, _) = explained(model, {"class": 1, "point": [7, 3]}).targets
    assert pointed.score == pytest.approx(float(logits[0, 1, 3 // stride, 7 // stride]), rel=1e-6)


def test_the_mask_of_an_image_is_a_region(model):
    mask = np.zeros((8, 12), np.bool_)
    mask[2:5, 3:9] = True
    image = ik.InputImage(id="a", source="", sha256="", size=(12, 8), mask=mask)
    spec = Placed.model_validate({"class": "cat", "in": "mask"})
    logits = logits_of(model)
    (target,) = model.output.targets(spec, logits[:1], [image])
    assert target.score == pytest.approx(float(logits[0, 1, 2:5, 3:9].sum()), rel=1e-6)
    with pytest.raises(ik.InputError, match="this image has none"):
        explained(model, {"class": "cat", "in": "mask"})


def test_passes_of_its_own_keep_the_region_of_the_image_itself(model):
    found = ik.visualize(model, IMAGES[:1], "occlusion", target="dog", window=4, stride=4, baseline="zero")
    inside = logits_of(model)[0].argmax(0) == 2
    expected = torch.zeros(8, 12)
    whole = (logits_of(model, IMAGES[:1])[0, 2] * inside).sum()
    for row in range(0, 8, 4):
        for column in range(0, 12, 4):
            without = IMAGES[:1].clone()
            without[:, :, row : row + 4, column : column + 4] = 0
            cut = (logits_of(model, without)[0, 2] * inside).sum()
            expected[row : row + 4, column : column + 4] = whole - cut
    torch.testing.assert_close(torch.from_numpy(found.maps["input"].values[0]), expected, rtol=1e-4, atol=1e-4)


def test_scores_repeat_a_step_with_the_region_it_had(model):
    steps = {
        "cam": ik.step("grad_cam", layers=["body"], target="dog"),
        "curves": ik.step("deletion_insertion", of=["cam"], random_orders=1, steps=2),
        "stable": ik.step("sensitivity_max", of=["cam"], samples=2),
    }
    found = ik.visualize(model, IMAGES[:1], steps)
    curve = found["curves"].tables["curves"].where("curve", "deletion").where("order", "map")
    assert curve["score"][0] == pytest.approx(found["cam"].targets[0].score, rel=1e-5)
    assert found["curves"].tables["auc"]["score"][0] == "logit sum"


@pytest.mark.parametrize(("axes", "size"), [(1, (9,)), (3, (2, 4, 5))])
def test_signals_and_volumes_have_classes_for_their_cells(axes, size):
    model = ik.wrap(Segmenter(axes=axes).eval(), output=ik.Pixels())
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    (target,) = explained(model, "predicted", images, "saliency").targets
    logits = logits_of(model, images)[0]
    inside = logits.argmax(0) == target.index
    assert target.region.size == size
    assert target.score == pytest.approx(float(logits[target.index][inside].sum()), rel=1e-5)


def test_of_one_class_alone_pixels_belong_to_it_above_one_half():
    values = torch.tensor([[[[0.2, 0.7], [0.9, 0.4]]]])
    (target,) = ik.Pixels(returns="probabilities").targets(0, values, [None])
    assert (target.score, target.region.cells) == (pytest.approx(1.6), 2)
    (target,) = ik.Pixels(returns="logits").targets(0, values - 0.5, [None])
    assert target.region.inside.tolist() == [[False, True], [True, False]]


def test_names_of_as_many_classes_as_channels_say_that_they_are_classes_of_pixels():
    plain = ik.wrap(Segmenter().eval(), classes=list(NAMES))
    assert explained(plain, "dog").targets[0].quantity == "logit sum"
    with pytest.raises(ik.StepError, match="if these are classes of pixels, say so"):
        explained(ik.wrap(Segmenter().eval()), 0)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("dgo", "has no class 'dgo'"),
        ({"class": "dog", "rank": 2}, "there is no rank"),
        ({"class": "dog", "point": [1]}, "a point of this image has 2 numbers"),
        ({"class": "dog", "box": [0, 0, 1, 99]}, "is not in this image of 8×12 pixels"),
        ({"for": "dog", "against": "cat"}, "no target"),
        ({"class": "dog", "box": [0, 0, 1, 1], "point": [0, 0]}, "at one place"),
    ],
)
def test_what_is_no_target_is_refused(model, target, message):
    with pytest.raises((ik.InputError, ik.RecipeError), match=message):
        explained(model, target)


def test_a_class_that_is_predicted_nowhere_is_refused_with_another_way(model):
    logits = logits_of(model)
    logits[:, 1] -= 1000
    image = ik.InputImage(id="street", source="", sha256="", size=(12, 8))
    with pytest.raises(ik.InputError, match=r"street: class 'cat' is predicted at no pixel \(ask"):
        model.output.targets("cat", logits[:1], [image])


def test_the_report_lists_the_classes_by_their_share_of_pixels(model):
    (first, _) = model.predictions(model.module(IMAGES), images=2)
    shares = {each.index: each.score for each in first}
    counts = logits_of(model)[0].argmax(0).flatten().bincount(minlength=3)
    assert shares == {index: pytest.approx(100 * int(count) / 96) for index, count in enumerate(counts) if count}
    assert {(each.quantity, each.unit) for each in first} == {("pixels", "%")}


def test_a_run_keeps_the_region(model, tmp_path):
    step = {"id": "cam", "uses": "grad_cam", "with": {"layers": ["body"], "target": "dog"}}
    run = ik.run(
        {"schema": "interpretkit/1", "name": "a", "steps": [step]}, model=model, images=IMAGES, output=tmp_path
    )
    assert run.status == "complete"
    (_, other) = run.results["cam"].targets
    np.testing.assert_array_equal(other.region.inside, (logits_of(model)[1].argmax(0) == 2).numpy())


def returned(net):
    with torch.no_grad():
        return net(IMAGES).double()


class Ended(nn.Module):
    """A segmenter that ends in a function of its logits."""

    def __init__(self, end, *, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, classes, 3, padding=1)
        self.end = end

    def forward(self, images):
        return self.end(self.body(images))


def doubled(values):
    return nn.functional.interpolate(values, scale_factor=2, mode="bilinear")


@pytest.mark.parametrize("end", [nn.Sigmoid(), torch.sigmoid, lambda z: doubled(z.sigmoid())], ids=["1", "2", "3"])
@pytest.mark.parametrize("classes", [1, 3])
def test_sigmoids_tell_each_class_by_itself(end, classes):
    net = Ended(end, classes=classes).eval()
    found = explained(ik.wrap(net, output=ik.Pixels()), 0, method="saliency")
    probabilities = returned(net)[:, 0]
    for target, each in zip(found.targets, probabilities, strict=True):
        assert (target.quantity, target.unit) == ("probability sum", f"over {int((each > 0.5).sum())} pixels")
        np.testing.assert_array_equal(target.region.inside, (each > 0.5).numpy())
        assert target.score == pytest.approx(float(each[each > 0.5].sum()), rel=1e-6)
    if classes > 1:
        # Otherwise it would not show that the greatest number counts for nothing.
        assert bool(((probabilities > 0.5) != (returned(net).argmax(1) == 0)).any())


@pytest.mark.parametrize("end", [nn.Softmax2d(), lambda z: doubled(z.softmax(1))], ids=["itself", "enlarged"])
def test_a_softmax_makes_probabilities_of_classes_of_which_one_is_predicted(end):
    net = Ended(end).eval()
    model = ik.wrap(net, classes=list(NAMES))
    found = explained(model, "dog", method="saliency")
    values = returned(net)
    for target, each in zip(found.targets, values, strict=True):
        inside = each.argmax(0) == 2
        assert target.quantity == "probability sum"
        assert target.score == pytest.approx(float(each[2][inside].sum()), rel=1e-6)
        np.testing.assert_array_equal(target.region.inside, inside.numpy())
    assert model.settled.output.words == "a class for each pixel, probabilities"


@pytest.mark.parametrize("end", [nn.Identity(), doubled, lambda z: z / 0.5, lambda z: z.log_softmax(1)])
def test_what_is_made_of_logits_alone_are_logits(end):
    found = explained(ik.wrap(Ended(end).eval(), output=ik.Pixels()), 0, method="saliency")
    assert {target.quantity for target in found.targets} == {"logit sum"}


@pytest.mark.parametrize("end", [lambda z: 1 / (1 + (-z).exp()), torch.tanh, lambda z: 100 * z.softmax(1)])
def test_numbers_of_which_nobody_knows_what_they_are_have_the_region_of_the_greatest(end):
    net = Ended(end).eval()
    model = ik.wrap(net, output=ik.Pixels(names=NAMES))
    found = explained(model, "dog", method="saliency")
    assert model.settled.output.words == "a class for each pixel, not known to be logits or probabilities"
    for target, each in zip(found.targets, returned(net), strict=True):
        assert target.quantity == "output sum"
        assert target.score == pytest.approx(float(each[2][each.argmax(0) == 2].sum()), rel=1e-6)


def test_of_one_class_alone_of_which_nothing_is_known_the_place_must_be_said():
    net = Ended(lambda z: 1 / (1 + (-z).exp()), classes=1).eval()
    model = ik.wrap(net, output=ik.Pixels(names=["dog"]))
    with pytest.raises(ik.InputError, match=r"not known to be logits or probabilities.*Pixels\(returns=…\)"):
        explained(model, "predicted", method="saliency")
    (target, _) = explained(model, {"point": [7, 3]}, method="saliency").targets
    assert (target.quantity, target.score) == ("output sum", pytest.approx(float(returned(net)[0, 0, 3, 7])))
    assert model.settled.predictions(returned(net), images=2) == ()


def test_the_logits_before_a_sigmoid_of_pixels_are_explained_by_name():
    net = Ended(nn.Sigmoid()).eval()
    found = explained(ik.wrap(net, output=ik.Pixels()), {"of": "logits", "class": 1}, method="saliency")
    for target, each in zip(found.targets, returned(net.body), strict=True):
        np.testing.assert_array_equal(target.region.inside, (each[1] > 0).numpy())
        assert target.score == pytest.approx(float(each[1][each[1] > 0].sum()), rel=1e-6)
        assert target.quantity == "logit sum"


def test_probabilities_of_a_pixel_that_do_not_add_up_are_refused():
    net = Ended(lambda z: 1 / (1 + (-z).exp())).eval()
    with pytest.raises(ik.StepError, match=r"for a pixel, with the sum .* several=True"):
        explained(ik.wrap(net, output=ik.Pixels(returns="probabilities")), 0, method="saliency")
    with pytest.raises(ik.StepError, match=r"a softmax goes over the classes, dim=1"):
        explained(ik.wrap(Ended(lambda z: z.softmax(0)).eval(), output=ik.Pixels()), 0, method="saliency")
    said = ik.Pixels(returns="probabilities", several=True)
    (target, _) = explained(ik.wrap(net, output=said), 0, method="saliency").targets
    np.testing.assert_array_equal(target.region.inside, (returned(net)[0, 0] > 0.5).numpy())


def test_probabilities_of_pixels_that_are_1_but_for_rounding_are_called_saturated():
    (target,) = ik.Pixels(returns="probabilities").targets(0, torch.tensor([[[[1.0, 1.0, 0.2]]]]), [None])
    assert target.saturated
    place = Placed.model_validate({"class": 0, "box": [0, 0, 3, 1]})
    image = ik.InputImage(id="a", source="", sha256="", size=(3, 1), pixels=np.zeros((1, 3, 3), np.uint8))
    (target,) = ik.Pixels(returns="probabilities").targets(place, torch.tensor([[[[1.0, 1.0, 0.2]]]]), [image])
    assert not target.saturated
