"""Maps while a network forgets: against closed forms of a linear network, the check, and layers in any order."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import interpretkit as ik
from interpretkit.contracts.kinds import VISUALIZER
from interpretkit.contracts.registry import discover
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_cam.grad_cam import GradCAM
from interpretkit_compare.cascade import stages
from interpretkit_compare.randomization_cascade import RandomizationCascade

SIZE = (5, 6)


def linear() -> ik.Model:
    """A network that is linear in each of its images: a mixture of channels at each pixel, then a weighted sum."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.Flatten(), nn.Linear(2 * 5 * 6, 4))
    return ik.wrap(net.double().eval(), name="linear")


def images(count=2) -> torch.Tensor:
    return torch.randn(count, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def cascade_of(model, seen, *, steps, **options):
    asked = {**steps, "cascade": ik.step("randomization_cascade", of=list(steps), **options)}
    return ik.visualize(model, seen, asked)


def closed_form(mixture: nn.Conv2d, head: nn.Linear, image: np.ndarray, target: int) -> np.ndarray:
    """Return input times gradient `(y, x)` of the score of a class, which is the sum of what each pixel adds to it."""
    weights = head.weight[target].detach().numpy().reshape(2, *SIZE)
    mixed = mixture.weight.detach().numpy()[:, :, 0, 0]
    return np.einsum("jyx,jk,kyx->yx", weights, mixed, image)


def test_each_stage_of_a_linear_network_is_its_closed_form():
    model, seen = linear(), images()
    steps = {"ixg": ik.step("input_x_gradient", target=2)}
    table = cascade_of(model, seen, steps=steps)["cascade"].tables["cascade"]
    drawn = ik.randomized(model).module
    networks = {"2": (model.module[0], drawn[2]), "0": (drawn[0], drawn[2])}
    assert table["layer"].tolist() == ["2", "2", "0", "0"]
    assert table["depth"].tolist() == [1, 1, 2, 2]
    for stage, (mixture, head) in networks.items():
        found = table.where("layer", stage)
        for position, image in enumerate(seen.numpy()):
            trained = closed_form(model.module[0], model.module[2], image, 2)
            expected = closed_form(mixture, head, image, 2)
            correlation = scipy.stats.spearmanr(trained.ravel(), expected.ravel()).statistic
            assert found["rank_correlation"][position] == pytest.approx(correlation, abs=1e-12)


def test_a_map_that_has_nothing_to_do_with_the_weights_stays_and_so_does_its_ssim():
    class Fixed(ik.Visualizer):
        """Draws the first channel of the image."""

        name = "fixed"
        yields = "attribution"

        def compute(self, captured):
            return ik.Result(maps={"input": captured.map("input", captured.inputs[:, 0], polarity="signed")})

    table = cascade_of(linear(), images(), steps={"fixed": ik.step(Fixed)})["cascade"].tables["cascade"]
    np.testing.assert_allclose(table["rank_correlation"], 1)
    np.testing.assert_allclose(table["ssim"], 1)


def test_what_is_by_chance_is_that_of_the_map_in_all_other_places():
    model, seen = linear(), images(1)
    steps = {"ixg": ik.step("input_x_gradient", target=2)}
    table = cascade_of(model, seen, steps=steps, shuffles=2000)["cascade"].tables["cascade"]
    values = closed_form(model.module[0], model.module[2], seen[0].numpy(), 2)
    mirrored = [values[::down, ::right] for down, right in product((1, -1), repeat=2)]
    moved = [np.roll(each, (y, x), (0, 1)) for each in mirrored for y, x in product(*map(range, SIZE))]
    found = [scipy.stats.spearmanr(values.ravel(), each.ravel()).statistic for each in moved]
    low, high = np.quantile(found, (0.05, 0.95))
    np.testing.assert_allclose(table["rank_correlation_chance_low"], low, atol=0.03)
    np.testing.assert_allclose(table["rank_correlation_chance_high"], high, atol=0.03)


def test_at_the_last_stage_stands_what_the_check_judges(tmp_path):
    recipe = {
        "schema": "interpretkit/1",
        "name": "forgets",
        "model": {"uses": "digits", "weights": "builtin"},
        "inputs": ["sample:digits/2a"],
        "checks": ["randomization"],
        "steps": [
            {"id": "cam", "uses": "grad_cam", "with": {"layers": ["stage2"], "target": "label"}},
            {"id": "guided", "uses": "guided_backprop", "with": {"target": "label"}},
            {"id": "cascade", "uses": "randomization_cascade", "of": ["cam", "guided"]},
        ],
    }
    run = ik.run(recipe, output=tmp_path)
    assert run.status == "complete"
    table = run.results["cascade"].tables["cascade"]
    last = table.where("depth", max(table["depth"]))
    for step, name in (("cam", "cam/stage2"), ("guided", "guided/input")):
        (judged,) = [each for each in run.manifest["steps"] if each["id"] == step]
        (verdict,) = judged["verdicts"]
        assert last.where("attribution", name)["rank_correlation"][0] == pytest.approx(verdict["figure"], abs=1e-6)
    # Adebayo et al. 2018: guided backpropagation is much alike while half of the layers are drawn anew.
    halfway = table.where("layer", "stage3.0")["rank_correlation"]
    assert halfway[1] > 0.6 > halfway[0]


class HeadFirst(nn.Module):
    """Registers its head before its body, and holds a weight of its own."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        self.unused = nn.Linear(2, 2)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))

    def forward(self, values):
        return self.head(self.body(values).mean((2, 3)) * self.scale)


def test_the_stages_go_from_the_output_to_the_input_in_whatever_order_layers_are_registered():
    found = stages(ik.wrap(HeadFirst()), None, (8, 8))
    assert [stage.name for stage in found] == ["head", "body.2.1", "body.2.0", "body.0", "everything else"]
    assert found[1].parts == ("head", "body.2.1")
    assert found[-1].parts is None


def test_named_layers_are_drawn_in_the_order_of_the_network_and_the_rest_at_last():
    found = stages(ik.wrap(HeadFirst()), ["body.0", "body.1", "head"], (8, 8))
    assert [stage.name for stage in found] == ["head", "body.0", "everything else"]
    with pytest.raises(ik.StepError, match=r"layer body.0 lies in body, and each is drawn once"):
        stages(ik.wrap(HeadFirst()), ["body", "body.0"], (8, 8))


def test_a_network_around_a_network_is_looked_into_and_one_layer_is_drawn_as_a_whole():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = HeadFirst()

        def forward(self, values):
            return self.model(values)

    assert stages(ik.wrap(Around()), None, (8, 8))[0].name == "model.head"
    (only,) = stages(ik.wrap(nn.Conv2d(3, 2, 3)), None, (8, 8))
    assert (only.name, only.parts) == ("the whole network", None)


def test_an_untrained_network_has_nothing_to_forget():
    steps = {"cam": ik.step("grad_cam", layers=["features"])}
    with pytest.raises(ik.StepError, match="nothing to forget"):
        cascade_of(tiny_model(), tiny_images(1), steps=steps)


def trained() -> ik.Model:
    return replace(tiny_model(), notes=())


def test_it_keeps_the_contract_and_other_weights_come_from_another_seed():
    cams = {"cam": GradCAM(GradCAM.Options(layers=["features"], target=1))}
    check_visualizer(RandomizationCascade, of=cams, model=trained(), images=tiny_images(3), shuffles=20)
    steps = {"cam": ik.step("grad_cam", layers=["features"], target=1)}
    first, again, other = (
        cascade_of(trained(), tiny_images(1), steps=steps, seed=seed)["cascade"].tables["cascade"]["rank_correlation"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_methods_with_passes_of_their_own_are_computed_with_the_weights_drawn_anew():
    """The gradient of a linear network is the same on the whole path, so integrated gradients are input × gradient."""
    model, seen = linear(), images(1)
    steps = {
        "ixg": ik.step("input_x_gradient", target=2),
        "ig": ik.step("integrated_gradients", target=2, steps=2, baseline="zero"),
    }
    table = cascade_of(model, seen, steps=steps)["cascade"].tables["cascade"]
    one, other = (table.where("attribution", f"{step}/input")["rank_correlation"] for step in steps)
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_figure_says_what_each_map_has_come_to():
    steps = {"cam": ik.step("grad_cam", layers=["features"], target=1)}
    found = cascade_of(trained(), tiny_images(1), steps=steps)["cascade"]
    (figure,) = ik.draw(found)
    last = found.tables["cascade"]["rank_correlation"][-1]
    assert f"at last {last:.2f}".replace("-", "−") in figure.alt
    assert "held fixed" in figure.caption


def test_it_is_offered():
    assert discover().find(VISUALIZER, "randomization_cascade").offer is RandomizationCascade
