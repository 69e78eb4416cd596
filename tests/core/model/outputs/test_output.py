"""Several outputs of one network: parts of what it returns, and layers in place of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interpretkit as ik


class TwoHeads(nn.Module):
    """Returns a dict of two heads over one layer; the first head weights channels 1, 2, the second 3, -1."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1, bias=False)
        self.main = nn.Linear(2, 2, bias=False)
        self.aux = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
            self.main.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
            self.aux.weight.copy_(torch.tensor([[3.0, -1.0], [0.0, 0.0]]))

    def forward(self, images):
        pooled = self.features(images).mean((2, 3))
        return {"out": self.main(pooled), "more": self.aux(pooled)}


IMAGES = torch.arange(8.0).view(2, 1, 2, 2)


@pytest.fixture
def model():
    outputs = {"main": ik.Classes(names=("a", "b"), key="out"), "aux": ik.Classes(names=("a", "b"), key="more")}
    return ik.wrap(TwoHeads().eval(), output=outputs)


@pytest.mark.parametrize(
    ("target", "factor"),
    [(0, 1 - 2), ("a", 1 - 2), ({"of": "main", "class": "a"}, 1 - 2), ({"of": "aux", "class": 0}, 3 + 1)],
)
def test_a_target_names_the_output_that_it_is_of(model, target, factor):
    # Channels are +x and -x, so Grad-CAM is the image times the sum of the weights, the second with the other sign.
    found = ik.visualize(model, IMAGES, "grad_cam", layers=["features"], target=target)
    expected = IMAGES[:, 0] * factor / 4
    torch.testing.assert_close(torch.from_numpy(found.maps["features"].values), expected)
    assert [each.score for each in found.targets] == pytest.approx((factor * IMAGES.mean((1, 2, 3))).tolist())


def test_what_was_explained_means_the_same_when_it_is_asked_for_again(model):
    asked = {"of": "aux", "class": "a"}
    first = ik.visualize(model, IMAGES, "grad_cam", layers=["features"], target=asked)
    assert first.targets[0].spec == {"of": "aux", "class": 0}
    assert first.targets[0].index == 0
    again = ik.visualize(model, IMAGES, "grad_cam", layers=["features"], target=first.targets[0].spec)
    assert (first.maps["features"].values == again.maps["features"].values).all()


def test_a_contrast_within_another_output_is_the_difference_of_its_logits(model):
    found = ik.visualize(
        model, IMAGES, "grad_cam", layers=["features"], target={"of": "aux", "for": "a", "against": "b"}
    )
    assert found.targets[0].spec == {"of": "aux", "for": 0, "against": 1}
    torch.testing.assert_close(torch.from_numpy(found.maps["features"].values), IMAGES[:, 0])


def test_passes_of_its_own_explain_another_output_as_well(model):
    found = ik.visualize(model, IMAGES, "integrated_gradients", target={"of": "aux", "class": 0}, steps=2)
    torch.testing.assert_close(torch.from_numpy(found.maps["input"].values), IMAGES[:, 0])


def test_an_output_of_another_name_is_refused_with_the_nearest(model):
    with pytest.raises(ik.InputError, match=r"has no output 'axu' \(did you mean 'aux'\?\)"):
        ik.visualize(model, IMAGES, "grad_cam", layers=["features"], target={"of": "axu", "class": 0})


def test_a_part_that_the_network_does_not_return_is_refused_with_what_it_returns():
    model = ik.wrap(TwoHeads().eval(), output=ik.Classes(key="uot"))
    with pytest.raises(ik.StepError, match=r"returns no 'uot' \(did you mean 'out'\?\)"):
        ik.visualize(model, IMAGES, "grad_cam", layers=["features"], target=0)


def test_repvggplus_is_read_in_training_mode_and_its_heads_are_targets():
    model = ik.load_model("repvgg", device="cpu", variant="L2pse", num_classes=4)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model.module.train()
    targets = [ik.Target(spec=1, label="1", score=0.0)]
    main = model.output
    returned = {"main": torch.eye(2, 4), "stage1_aux": torch.zeros(2, 4)}
    assert main.score(main.read(returned), targets).tolist() == [0.0, 1.0]
    found = ik.visualize(model, images, "grad_cam", layers=["stage1"], target={"of": "stage1_aux", "class": 2})
    module = model.module.eval()
    leaf = module.stage1(module.stage0(images)).detach().requires_grad_()
    score = module.stage1_aux(leaf)[:, 2]
    (gradient,) = torch.autograd.grad(score.sum(), leaf)
    expected = (gradient.mean((2, 3), keepdim=True) * leaf).sum(1).detach()
    torch.testing.assert_close(torch.from_numpy(found.maps["stage1"].values), expected)
    assert [each.score for each in found.targets] == pytest.approx(score.tolist())
