from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.model.outputs.labels import Binary, Labels

IMAGES = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def sigmoid(number):
    return 1 / (1 + math.exp(-number))


def network(outputs, *end):
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs)]
    return nn.Sequential(*body, *end).eval()


def explained(net, target="predicted", method="grad_cam", **more):
    options = {"grad_cam": {"layers": ["1"]}, "occlusion": {"window": 4, "stride": 4}}.get(method, {})
    return ik.visualize(ik.wrap(net, **more), IMAGES, method, target=target, **options)


def gradient_map(net, sign=1.0):
    """Grad-CAM at layer 1 of what a network returns for its only output, times a sign."""
    activation = net[:2](IMAGES).detach().requires_grad_()
    score = sign * net[2:](activation)
    (gradient,) = torch.autograd.grad(score.sum(), activation)
    return (gradient.mean((2, 3), keepdim=True) * activation).sum(1).detach()


def test_one_logit_is_a_sigmoid_and_its_other_side_the_negative_logit():
    net = network(1)
    logits = net(IMAGES)[:, 0].tolist()
    here, absent = explained(net, classes=["tumour"]), explained(net, {"not": "tumour"}, classes=["tumour"])
    for target, other, logit in zip(here.targets, absent.targets, logits, strict=True):
        assert (target.label, target.quantity, target.score) == ("tumour", "logit", pytest.approx(logit))
        assert target.probability == pytest.approx(sigmoid(logit))
        assert (other.label, other.score) == ("not tumour", pytest.approx(-logit))
        assert other.probability == pytest.approx(1 - sigmoid(logit))
    torch.testing.assert_close(torch.from_numpy(here.maps["1"].values), gradient_map(net))
    torch.testing.assert_close(torch.from_numpy(absent.maps["1"].values), gradient_map(net, -1))


@pytest.mark.parametrize("end", [nn.Sigmoid(), torch.nn.Sequential(nn.Sigmoid(), nn.Flatten(0))])
def test_one_probability_is_itself_and_its_other_side_what_is_missing(end):
    net = network(1, end)
    probabilities = net(IMAGES).flatten().tolist()
    here, absent = explained(net), explained(net, {"not": 0})
    for target, other, probability in zip(here.targets, absent.targets, probabilities, strict=True):
        assert (target.quantity, target.score, target.probability) == ("output", *[pytest.approx(probability)] * 2)
        assert (other.score, other.probability) == (pytest.approx(1 - probability),) * 2
    torch.testing.assert_close(torch.from_numpy(here.maps["1"].values), gradient_map(net))
    torch.testing.assert_close(torch.from_numpy(absent.maps["1"].values), gradient_map(net, -1))


@pytest.mark.parametrize("end", [(), (nn.Sigmoid(),)])
def test_one_number_tells_two_classes_apart(end):
    logits = network(1)(IMAGES)[:, 0].detach()
    net = network(1, *end)
    found = explained(net, "predicted", classes=["healthy", "tumour"])
    labels = ["tumour" if logit > 0 else "healthy" for logit in logits]
    assert [target.label for target in found.targets] == labels
    assert [target.probability for target in found.targets] == pytest.approx(logits.abs().sigmoid().tolist())
    assert explained(net, "tumour", classes=["healthy", "tumour"]).targets[0].probability == pytest.approx(
        sigmoid(float(logits[0]))
    )


def test_several_sigmoids_are_labels_each_with_its_own_probability():
    names = [f"finding {index}" for index in range(14)]
    net = network(14, nn.Sigmoid())
    values = net(IMAGES)
    found = explained(net, "finding 3", classes=names)
    assert [target.score for target in found.targets] == pytest.approx(values[:, 3].tolist())
    assert [target.probability for target in found.targets] == pytest.approx(values[:, 3].tolist())
    assert {target.quantity for target in found.targets} == {"output"}


def test_labels_that_are_said_to_be_logits_have_sigmoids():
    net = network(5)
    output = ik.Labels(names=list("abcde"), returns="logits")
    target = explained(net, "c", output=output).targets[1]
    assert target.probability == pytest.approx(sigmoid(net(IMAGES)[1, 2].item()))
    assert explained(net, {"top": 2}, output=output).targets[0].score == pytest.approx(net(IMAGES)[0].max().item())


def test_logits_before_a_sigmoid_are_explained_by_name():
    net = network(1, nn.Sigmoid())
    logits = network(1)(IMAGES)[:, 0].tolist()
    for method in ("grad_cam", "saliency", "occlusion"):
        found = explained(net, {"of": "logits", "class": 0}, method)
        assert [target.score for target in found.targets] == pytest.approx(logits)
        assert found.targets[0].spec == {"of": "logits", "class": 0}
    found = explained(net, {"of": "logits", "not": 0})
    assert [target.score for target in found.targets] == pytest.approx([-logit for logit in logits])
    torch.testing.assert_close(torch.from_numpy(found.maps["1"].values), gradient_map(network(1), -1))


def test_a_network_without_a_sigmoid_has_no_logits_before_what_it_returns():
    with pytest.raises(ik.StepError, match="ends in no softmax or sigmoid that is given what a layer returns"):
        explained(network(1), {"of": "logits", "class": 0}, classes=["tumour"])


@pytest.mark.parametrize("end", [lambda z: 1 / (1 + (-z).exp()), torch.nn.functional.hardsigmoid])
def test_a_number_that_may_be_a_logit_or_a_probability_is_called_neither(end):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network(1)

        def forward(self, images):
            return end(self.body(images))

    found = ik.visualize(ik.wrap(Net(), classes=["tumour"]), IMAGES, "saliency")
    assert {target.quantity for target in found.targets} == {"output"}
    assert all(math.isnan(target.probability) for target in found.targets)


def test_two_numbers_are_not_one_that_tells_two_classes_apart():
    with pytest.raises(ik.StepError, match=r"returns 2 numbers for each image, .* \(Classes\(names=…\) reads"):
        ik.visualize(ik.wrap(network(2), output=ik.Binary(names=("a", "b"), returns="logits")), IMAGES, "saliency")


def test_saturated_probabilities_are_said_with_the_way_to_the_logits():
    class Steep(nn.Module):
        def forward(self, logits):
            return logits * 1e3

    net = network(3, Steep(), nn.Softmax(1))
    messages = []
    recipe = {"schema": "interpretkit/1", "name": "a", "steps": [{"id": "cam", "uses": "saliency"}]}

    def listen(event):
        messages.append(event.text)

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        run = ik.run(recipe, model=net, images=IMAGES, output=folder, listen=listen)
        assert all(target.saturated for target in run.results["cam"].targets)
        assert "saturated" in str(run.results["cam"].targets[0])
    said = [text for text in messages if "is 1 but for rounding" in text]
    assert "explain the logits: target {of: logits, class: " in said[0]
    unsaturated = explained(network(3, nn.Softmax(1))).targets[0]
    assert not unsaturated.saturated


def test_what_one_number_tells_apart_are_two_classes():
    with pytest.raises(ik.InputError, match="tells two classes apart, not 3"):
        Binary(names=("a", "b", "c"))
    with pytest.raises(ik.InputError, match="the names of labels are several texts, not 'tumour'"):
        Labels(names="tumour")


def test_cam_and_lrp_explain_both_sides():
    net = network(1)
    mean = {}
    for name, target in {"here": "tumour", "absent": "healthy"}.items():
        cam = ik.visualize(ik.wrap(net, classes=["healthy", "tumour"]), IMAGES, "cam", layers=["1"], target=target)
        mean[name] = torch.from_numpy(cam.maps["1"].values)
        relevance = ik.visualize(ik.wrap(net, classes=["healthy", "tumour"]), IMAGES, "lrp", target=target)
        mean[f"{name} relevance"] = torch.from_numpy(relevance.maps["input"].values)
    torch.testing.assert_close(mean["here"], gradient_map(net) * 256)
    torch.testing.assert_close(mean["absent"], -mean["here"])
    torch.testing.assert_close(mean["absent relevance"], -mean["here relevance"])


def test_logits_are_no_probabilities_of_labels():
    with pytest.raises(ik.StepError, match=r"returns -0\.5 to 2 \(for logits say Labels\(returns='logits'\)"):
        Labels(returns="probabilities").targets(0, torch.tensor([[0.3, 2.0], [-0.5, 0.1]]), [None, None])


def alerts_of(net, tmp_path, target):
    steps = [{"id": "map", "uses": "saliency", "with": {"target": target}}]
    messages = []
    recipe = {"schema": "interpretkit/1", "name": "a", "steps": steps}
    run = ik.run(recipe, model=net, images=IMAGES, output=tmp_path, listen=lambda event: messages.append(event.text))
    return run.results["map"], messages


def test_a_probability_of_0_has_no_gradient_and_says_so(tmp_path):
    class Steep(nn.Module):
        def forward(self, logits):
            return (logits - 100) * 1e3

    net = network(3, Steep(), nn.Sigmoid())
    found, messages = alerts_of(net, tmp_path, 0)
    assert not found.maps["input"].values.any()
    assert all(target.score == 0 and target.saturated for target in found.targets)
    (said,) = {text for text in messages if "but for rounding" in text}
    assert "is 0 but for rounding, and so is its gradient 0; explain the logits: target {of: logits, class: 0}" in said
    found, messages = alerts_of(net, tmp_path, {"not": 0})
    assert any("is 1 but for rounding" in text and "target {of: logits, not: 0}" in text for text in messages)


@pytest.mark.parametrize(
    ("probability", "dtype", "saturated"),
    [
        (1e-30, torch.float32, False),
        (1e-40, torch.float32, True),
        (2e-3, torch.float16, False),
        (0.0, torch.float16, True),
    ],
)
def test_a_small_probability_has_a_gradient_as_long_as_it_has_its_digits(probability, dtype, saturated):
    (target,) = Labels(returns="probabilities").targets(0, torch.tensor([[probability]], dtype=dtype), [None])
    assert target.saturated == saturated
