from __future__ import annotations

import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.model.outputs.boxes import Boxes

NAMES = ("ground", "dog", "cat")
FOUND = {
    "boxes": torch.tensor([[0.0, 0, 4, 4], [10, 10, 20, 20], [2, 2, 6, 6], [0, 0, 30, 30]]),
    "labels": torch.tensor([1, 2, 1, 2]),
    "scores": torch.tensor([0.5, 0.9, 0.7, 0.2]),
}
EMPTY = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}


def target(spec, found=FOUND, names=NAMES):
    output = Boxes(names=names)
    parsed = spec if not isinstance(spec, dict) else ik.Placed.model_validate(spec)
    (single,) = output.single(parsed)
    output.check(single)
    (resolved,) = output.targets(single, [found], [ik.InputImage(id="a", source="", sha256="", size=(1, 1))])
    return resolved


@pytest.mark.parametrize(
    ("spec", "position"),
    [
        ("predicted", 1),
        ("dog", 2),
        (2, 1),
        ({"class": "dog", "rank": 2}, 0),
        ({"rank": 4}, 3),
        ({"class": "dog", "box": [0, 0, 3, 3]}, 0),
        ({"box": [0, 0, 28, 28]}, 3),
        ({"class": "dog", "point": [1, 1]}, 0),
        ({"point": [3, 3]}, 2),
        ({"class": "cat", "point": [3, 3]}, 3),
    ],
)
def test_a_target_is_one_of_the_boxes(spec, position):
    found = target(spec)
    assert found.score == pytest.approx(float(FOUND["scores"][position]))
    assert found.spec == {"class": int(FOUND["labels"][position]), "box": FOUND["boxes"][position].tolist()}
    assert found.label.startswith(NAMES[int(FOUND["labels"][position])])
    assert Boxes().score([FOUND], [found]).tolist() == pytest.approx([found.score])


def test_the_score_is_that_of_the_box_that_overlaps_most_times_the_overlap():
    dog = target("dog")
    moved = {**FOUND, "boxes": FOUND["boxes"] + 0.5, "scores": torch.tensor([0.5, 0.9, 0.6, 0.2], requires_grad=True)}
    score = Boxes().score([moved, EMPTY, FOUND], [dog])
    # Two squares of 4 × 4 of which one is moved by half a pixel each way have 3.5 × 3.5 in common.
    overlap = 3.5**2 / (16 + 16 - 3.5**2)
    assert score.tolist() == pytest.approx([0.6 * overlap, 0.0, 0.7])
    (gradient,) = torch.autograd.grad(score[0], moved["scores"])
    assert gradient.tolist() == pytest.approx([0, 0, overlap, 0])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("predicted", "finds nothing for the target of rank 1"),
        ({"class": "dog", "point": [1, 1]}, "finds nothing of class 'dog'"),
    ],
)
def test_an_image_in_which_nothing_is_found_is_refused(spec, message):
    with pytest.raises(ik.InputError, match=f"a: the network {message}"):
        target(spec, EMPTY)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dgo", "no class 'dgo'"),
        ({"class": "dog", "rank": 3}, "finds 2 boxes alone of class 'dog'"),
        ({"box": [1, 2]}, "has 2 numbers, not 4"),
        ({"class": "dog", "in": "mask"}, "not `in` anything"),
    ],
)
def test_what_is_no_target_is_refused(spec, message):
    with pytest.raises(ik.InputError, match=message):
        target(spec)


def test_what_is_no_list_of_boxes_is_refused():
    with pytest.raises(ik.StepError, match="not for each image a dict of boxes"):
        Boxes().summary(torch.zeros(1, 3))
    with pytest.raises(ik.StepError, match="detectors return their losses"):
        Boxes().summary({"loss": torch.zeros(1)})


def test_the_best_boxes_are_listed():
    (listed,) = Boxes(names=NAMES).summary([FOUND])
    assert [(each.label, each.score) for each in listed] == [
        ("cat", pytest.approx(0.9)),
        ("dog", pytest.approx(0.7)),
        ("dog", pytest.approx(0.5)),
        ("cat", pytest.approx(0.2)),
    ]


class Detector(nn.Module):
    """Finds one box for each of two classes, whose scores are means of features, in the left and the right half."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(1, 2, 1)

    def forward(self, images):
        features = self.body(images)
        half = images.shape[3] // 2
        found = []
        for each in features:
            scores = torch.stack([each[0, :, :half].mean(), each[1, :, half:].mean()]).sigmoid()
            boxes = each.new_tensor([[0, 0, half, 8], [half, 0, 2 * half, 8]])
            found.append({"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": scores})
        return found


def test_a_detector_is_known_by_what_it_returns_and_each_method_explains_it():
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    net = Detector().eval()
    model = ik.wrap(net, classes=NAMES)
    found = ik.visualize(model, images, "saliency", target="cat")
    leaf = images.clone().requires_grad_()
    score = sum(each["scores"][1] for each in net(leaf))
    (gradient,) = torch.autograd.grad(score, leaf)
    torch.testing.assert_close(torch.from_numpy(found.maps["input"].values), gradient[:, 0].abs())
    occluded = ik.visualize(model, images, "occlusion", target={"point": [1, 1]}, window=4, stride=4)
    assert abs(occluded.maps["input"].values[:, :, 4:]).max() == 0
    assert abs(occluded.maps["input"].values[:, :, :4]).min() > 0


def test_a_class_without_a_name_is_refused_for_the_others_may_have_the_wrong_ones():
    highest = int(FOUND["labels"].max())
    words = rf"finds class {highest}, of {highest} names \(.* the background"
    with pytest.raises(ik.StepError, match=words):
        Boxes(names=NAMES[:highest]).summary([FOUND])


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[12.0, 12.0, 5.0, 4.0]], "ends before it begins"),
        ([[0.4, 0.5, 0.6, 0.9]], "no box of the network reaches beyond the first pixel"),
    ],
)
def test_boxes_that_are_no_corners_in_pixels_are_refused(boxes, message):
    found = {"boxes": torch.tensor(boxes), "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}
    with pytest.raises(ik.StepError, match=message) as caught:
        ik.Boxes().found([found])
    assert "box_convert" in caught.value.hint
