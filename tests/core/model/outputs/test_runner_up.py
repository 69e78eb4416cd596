"""The strongest other target beside one: what maps of a target are held against."""

from __future__ import annotations

import pytest
import torch

import interpretkit as ik

NUMBERS = torch.tensor([[0.5, 3.0, -1.0, 2.0]])
IMAGE = ik.InputImage(id="a", source="a", sha256="a", size=(2, 2))


def target(output, spec, values):
    model = ik.wrap(torch.nn.Identity(), output=output)
    (wanted,) = model.wanted(spec)
    return model.targets(wanted, values, [IMAGE])[0]


@pytest.mark.parametrize(
    ("output", "spec", "values", "found"),
    [
        (ik.Classes(returns="logits"), "predicted", NUMBERS, (3, 2.0)),
        (ik.Classes(returns="logits"), 3, NUMBERS, (1, 3.0)),
        (ik.Classes(returns="logits"), {"for": 1, "against": 3}, NUMBERS, ({"for": 0, "against": 3}, -1.5)),
        (ik.Classes(returns="logits"), {"for": 0, "against": 1}, NUMBERS[:, :2], None),
        (ik.Labels(returns="logits"), 0, NUMBERS, (1, 3.0)),
        (ik.Labels(returns="logits"), {"not": 1}, NUMBERS, (3, 2.0)),
        (ik.Labels(names=("tumour",), returns="logits"), 0, NUMBERS[:, :1], ({"not": 0}, -0.5)),
        (ik.Labels(names=("tumour",), returns="probabilities"), 0, NUMBERS[:, :1], ({"not": 0}, 0.5)),
        (ik.Labels(names=("tumour",), returns="logits"), {"not": 0}, NUMBERS[:, :1], None),
        (ik.Binary(returns="logits"), "positive", NUMBERS[:, 0], ("negative", -0.5)),
        (ik.Values(names=("age",)), "age", NUMBERS[:, :1], None),
        (ik.Values(names=("age", "height")), "age", NUMBERS[:, :2], (1, 3.0)),
        (ik.Vector(), None, NUMBERS, None),
    ],
)
def test_it_is_the_greatest_other_number_or_what_speaks_against_the_only_one(output, spec, values, found):
    first = target(output, "predicted" if spec is None else spec, values)
    other = output.runner_up(first, output.read(values))
    if found is None:
        assert other is None
        return
    expected, score = found
    assert other.score == pytest.approx(score)
    assert other.label == expected if isinstance(expected, str) else other.spec == expected
    # The score is that of the target, as any other.
    assert float(output.score(output.read(values), [other])) == pytest.approx(score)


def test_of_pixels_it_is_the_class_with_the_greatest_sum_over_the_same_region():
    logits = torch.tensor([[[[5.0, 5.0], [0.0, 0.0]], [[1.0, 1.0], [9.0, 9.0]], [[2.0, 3.0], [0.0, 0.0]]]])
    output = ik.Pixels(returns="logits", several=False)
    first = target(output, 0, logits)
    assert first.score == 10.0
    other = output.runner_up(first, logits)
    assert (other.index, other.score, other.region) == (2, 5.0, first.region)
    assert float(output.score(logits, [other])) == 5.0
