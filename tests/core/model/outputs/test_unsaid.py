from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import interpretkit as ik

IMAGES = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def network(outputs, *end):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, outputs), *end).eval()


def targets(net, **more):
    return ik.visualize(ik.wrap(net, **more), IMAGES, "saliency").targets


@pytest.mark.parametrize("outputs", [1, 2, 14])
def test_logits_or_values_of_which_nothing_is_said_have_no_probability(outputs):
    found = targets(network(outputs))
    assert {each.quantity for each in found} == {"output"}
    assert all(math.isnan(each.probability) for each in found)
    assert [each.score for each in found] == pytest.approx(network(outputs)(IMAGES).amax(1).tolist())


def test_names_of_classes_say_that_they_are_classes():
    net = network(3)
    found = targets(net, classes=["a", "b", "c"])
    assert [each.probability for each in found] == pytest.approx(net(IMAGES).softmax(1).amax(1).tolist())
    assert {each.quantity for each in found} == {"logit"}


ENDS = {
    "clamped": lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6),
    "by hand": lambda z: 1 / (1 + (-z).exp()),
    "the other side": lambda z: 1 - z.sigmoid(),
    "two heads": lambda z: torch.cat([z[:, :1].sigmoid(), z[:, 1:].sigmoid()], 1),
    "hard": nn.functional.hardsigmoid,
    "percent": lambda z: 100 * z.sigmoid(),
    "percent of a softmax": lambda z: 100 * z.softmax(1),
    "logarithms": nn.functional.logsigmoid,
    "tanh": torch.tanh,
    "a softmax that a matrix mixes": lambda z: z.softmax(1) @ torch.tensor([[2.0, -1, 0], [0, 1, 0], [-3, 0, 1]]),
    "cosines": lambda z: nn.functional.cosine_similarity(z[:, None], torch.eye(3)[None], dim=2),
}


class Ended(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.body, self.end = network(3), end

    def forward(self, images):
        return self.end(self.body(images))


NAMES = ["a", "b", "c"]
SAID = {"names": {"classes": NAMES}, "classes": {"output": ik.Classes(names=NAMES)}}


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("end", ENDS)
def test_what_no_linear_layer_made_is_not_read_as_logits_of_the_classes_that_are_named(end, said):
    net = Ended(ENDS[end])
    model = ik.wrap(net, **SAID[said])
    found = ik.visualize(model, IMAGES, "saliency").targets
    assert {each.quantity for each in found} == {"output"}
    assert all(math.isnan(each.probability) for each in found)
    assert [each.score for each in found] == pytest.approx(net(IMAGES).amax(1).tolist())
    assert model.settled.output.words == "classes, not known to be logits or probabilities"


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("end", ["percent", "tanh", "by hand"])
def test_nor_as_logits_of_labels(end, outputs):
    net = nn.Sequential(network(outputs), Ended(ENDS[end]))
    net[1].body = nn.Identity()
    model = ik.wrap(net, output=ik.Labels())
    found = ik.visualize(model, IMAGES, "saliency").targets
    assert {each.quantity for each in found} == {"output"}
    assert all(math.isnan(each.probability) for each in found)
    assert model.settled.output.words == "labels, not known to be logits or probabilities"


@pytest.mark.parametrize("end", ["percent", "tanh", "by hand"])
def test_which_of_two_classes_a_number_predicts_is_not_known_where_the_number_is_not(end):
    net = nn.Sequential(network(1), Ended(ENDS[end]))
    net[1].body = nn.Identity()
    model = ik.wrap(net, classes=["healthy", "tumour"])
    with pytest.raises(ik.InputError, match=r"the two classes it predicts \(name one: healthy, tumour; or say"):
        ik.visualize(model, IMAGES, "saliency")
    found = ik.visualize(model, IMAGES, "saliency", target="tumour").targets
    assert [each.score for each in found] == pytest.approx(net(IMAGES)[:, 0].tolist())
    assert {each.quantity for each in found} == {"output"}
    ((listed,), _) = model.settled.predictions(net(IMAGES), images=2)
    assert listed.label == "tumour"


def test_logits_that_are_shifted_and_scaled_are_read_as_logits_of_the_classes_that_are_named():
    net = Ended(lambda z: (z - z.mean(1, keepdim=True)) / 0.5)
    found = targets(net, classes=["a", "b", "c"])
    assert [each.probability for each in found] == pytest.approx(net(IMAGES).softmax(1).amax(1).tolist())


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.Sequential(nn.LogSoftmax(1))])
def test_a_softmax_says_that_they_are_classes(end):
    found = targets(network(3, end))
    assert [each.probability for each in found] == pytest.approx(network(3)(IMAGES).softmax(1).amax(1).tolist())


def test_a_distribution_says_it_by_its_values():
    class Mean(nn.Module):
        def forward(self, logits):
            powers = logits.exp()
            return powers / powers.sum(1, keepdim=True)

    found = targets(network(3, Mean()))
    assert [each.probability for each in found] == pytest.approx(network(3)(IMAGES).softmax(1).amax(1).tolist())


@pytest.mark.parametrize(("outputs", "names"), [(3, 2), (2, 3), (14, 1)])
def test_more_or_fewer_names_than_numbers_are_refused(outputs, names):
    with pytest.raises(ik.StepError, match=f"returns {outputs} numbers for each image, for {names} class names?"):
        targets(network(outputs), classes=[str(index) for index in range(names)])


def test_a_network_that_fails_says_so_once_and_is_asked_again():
    class Picky(nn.Module):
        def forward(self, images):
            if images.shape[-1] != 4:
                raise ValueError("4 columns")
            return images.flatten(1)

    model = ik.wrap(Picky())
    with pytest.raises(ik.StepError, match="4 columns"):
        ik.visualize(model, IMAGES[..., :3], "saliency")
    assert ik.visualize(model, IMAGES.softmax(-1), "saliency").targets[0].quantity == "output"


def test_what_the_network_is_costs_no_pass_of_its_own():
    calls = []
    net = network(3)
    net.register_forward_hook(lambda *_: calls.append(1))
    model = ik.wrap(net)
    for _ in range(3):
        ik.visualize(model, IMAGES[:1], "saliency")
    assert len(calls) == 3


class Squeezed(nn.Module):
    """A network that loses the axis of a single image."""

    def __init__(self):
        super().__init__()
        self.body = network(3)

    def forward(self, images):
        return self.body(images).squeeze()


def test_a_pass_whose_rows_are_no_images_shows_nothing():
    model = ik.wrap(Squeezed(), classes=NAMES)
    with pytest.raises(ik.StepError, match="returns 3 rows for 1 image"):
        ik.visualize(model, IMAGES[:1], "saliency")
    found = ik.visualize(model, IMAGES, "saliency").targets
    assert [each.probability for each in found] == pytest.approx(network(3)(IMAGES).softmax(1).amax(1).tolist())


def test_nothing_is_said_of_an_image_whose_row_is_not_known(tmp_path):
    steps = [{"id": "map", "uses": "saliency"}]
    recipe = {"schema": "interpretkit/1", "name": "a", "steps": steps}
    run = ik.run(recipe, model=ik.wrap(Squeezed(), classes=NAMES), images=IMAGES[:1], output=tmp_path)
    assert run.status == "failed"
    assert [image["predictions"] for image in run.manifest["inputs"]] == [{"model": []}]


ONE_SIGN = torch.stack([torch.full((1, 4, 4), value) for value in (2.0, -2.0, 0.0, 1.0)])


class Pooled(nn.Module):
    """Three numbers that all have the sign of the image; of the third image they are a distribution."""

    def __init__(self, end):
        super().__init__()
        self.head, self.end = nn.Linear(1, 3), end
        nn.init.constant_(self.head.weight, 0.5)
        self.head.bias.data = torch.tensor([0.0, 0.0, 1.0])

    def forward(self, images):
        return self.end(self.head(images.mean((1, 2, 3))[:, None]))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 1, 0)])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize(
    ("end", "quantity"), [(nn.Identity(), "logit"), (torch.tanh, "output"), (lambda z: 5 * z.sigmoid(), "output")]
)
def test_what_the_numbers_are_depends_on_no_image_and_no_size_of_a_batch(order, batch_size, end, quantity):
    model = ik.wrap(Pooled(end).eval(), classes=NAMES)
    found = ik.visualize(model, ONE_SIGN[list(order)], "saliency", target="a", batch_size=batch_size).targets
    assert {each.quantity for each in found} == {quantity}


class Shares(nn.Module):
    """A distribution by hand, for images of no negative mean; others do not add up to 1."""

    def forward(self, images):
        parts = torch.stack([images.mean((1, 2, 3)), images.amax((1, 2, 3)), images.amin((1, 2, 3))], 1)
        return parts.clamp(min=0) / parts.sum(1, keepdim=True).clamp(min=1e-6)


def test_a_batch_that_contradicts_the_values_of_the_first_is_an_error():
    model = ik.wrap(Shares())
    first = ik.visualize(model, ONE_SIGN[:1], "occlusion", window=4, stride=4).targets
    assert first[0].probability == pytest.approx(1 / 3)
    with pytest.raises(ik.StepError, match="to return probabilities of classes, and returns 0 to 0 for an image"):
        ik.visualize(model, ONE_SIGN[1:2], "occlusion", window=4, stride=4)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_batch_of_which_only_a_part_is_a_distribution_tells_nothing(order):
    model = ik.wrap(Shares(), output=ik.Classes(names=NAMES))
    found = ik.visualize(model, ONE_SIGN[list(order)], "occlusion", window=4, stride=4, target="a").targets
    assert {each.quantity for each in found} == {"output"}
    assert all(math.isnan(each.probability) for each in found)
