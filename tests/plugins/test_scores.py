"""Sparseness, sensitivity and infidelity: against closed forms, plain derivations and captum called directly."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import interpretkit as ik
from interpretkit.contracts.registry import Plugin
from interpretkit.engine.batch import compute
from interpretkit.engine.plan import Plan, plan_step
from interpretkit.engine.resolve import Step, parse_options
from interpretkit.inputs.batch import tensor_batches
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_cam.grad_cam import GradCAM
from interpretkit_compare import predictions
from interpretkit_compare.infidelity import Infidelity
from interpretkit_compare.sensitivity import SensitivityMax
from interpretkit_compare.sparseness import Sparseness, entropy, gini


class InputGradient(ik.Visualizer):
    """The gradient for the input, summed over channels; times the input or by itself."""

    name = "input_gradient"

    class Options(ik.Visualizer.Options):
        target: int = 1
        times_input: bool = True

    options: Options

    def needs(self):
        return ik.Needs(input_gradient=True, target=self.options.target)

    def compute(self, captured):
        gradient = captured.input_gradient * (captured.inputs if self.options.times_input else 1)
        return ik.Result(maps={"input": captured.map("input", gradient.sum(1), polarity="signed")})


def step(visualizer, **options):
    return visualizer(parse_options(visualizer, options))


def scored(visualizer, earlier, model, images):
    """Compute a score in a plan with the steps that it reads."""
    resolved = [
        Step(id=name, visualizer=each, plugin=Plugin("test"), model="model", of=of)
        for name, each, of in (*((*item, ()) for item in earlier.items()), ("score", visualizer, tuple(earlier)))
    ]
    plan = Plan(models={"model": model}, steps=tuple(plan_step(each, model) for each in resolved))
    (batch,) = tensor_batches(images, plan.models, batch_size=len(images))
    outcome = compute(plan, batch)
    for failure in outcome.failures.values():
        raise failure
    return outcome.results["score"]


def seed_of(result, position, seed=0):
    return ik.Captured(images=result.images, inputs=torch.zeros(0), activations={}, gradients={}).seed(position, seed)


def linear_model() -> ik.Model:
    torch.manual_seed(0)
    return ik.wrap(nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 6, 4)).double().eval(), name="linear")


def conv_model() -> ik.Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4))
    return ik.wrap(net.double().eval(), name="conv")


def images_of(size=(4, 6), count=2) -> torch.Tensor:
    return torch.randn(count, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# Sparseness


def test_the_gini_index_equals_the_mean_difference_of_all_pairs():
    values = np.abs(np.random.default_rng(0).standard_normal(30)) ** 3
    pairs = sum(abs(first - second) for first in values for second in values)
    assert gini(values) == pytest.approx(pairs / (2 * 30**2 * values.mean()), rel=1e-12)
    # As Quantus has it, which adds 1e-7 to each value lest all be 0.
    ascending = np.sort(values)
    quantus = sum((2 * (k + 1) - 30 - 1) * ascending[k] for k in range(30)) / (ascending.sum() * 30)
    assert gini(values) == pytest.approx(quantus, rel=1e-12)


def test_entropy_equals_scipys():
    values = np.abs(np.random.default_rng(0).standard_normal(30))
    values[:5] = 0
    assert entropy(values) == pytest.approx(scipy.stats.entropy(values, base=30), rel=1e-12)


def test_the_ends_of_the_scales():
    one = np.eye(1, 50)[0]
    assert (gini(one), entropy(one)) == (1 - 1 / 50, 0)
    assert (gini(np.full(50, 3.0)), entropy(np.full(50, 3.0))) == (pytest.approx(0), pytest.approx(1))
    assert np.isnan([gini(np.zeros(5)), entropy(np.zeros(5)), entropy(np.ones(1))]).all()


def test_sparseness_is_that_of_the_magnitudes_of_each_map():
    cam = ik.visualize(tiny_model(), tiny_images(2), "grad_cam", layers=["features"], target=1)
    of = {
        "cam": cam,
        "twice": replace(cam, maps={"b": replace(cam.maps["features"], values=-2 * cam.maps["features"].values)}),
    }
    table = ik.visualize(tiny_model(), tiny_images(2), "sparseness", of=of).tables["sparseness"]
    assert table["attribution"].tolist() == ["cam/features", "twice/b"] * 2
    assert table["cells"].tolist() == [64] * 4
    for row, image in ((0, 0), (2, 1)):
        assert table["gini"][row] == pytest.approx(
            gini(np.abs(cam.maps["features"].values[image]).ravel().astype(float))
        )
        assert table["gini"][row] == pytest.approx(table["gini"][row + 1], rel=1e-12)


# Sensitivity


def test_sensitivity_equals_captum_called_directly_with_the_class_held_fixed():
    from captum.attr import InputXGradient
    from captum.metrics import sensitivity_max

    model, images = conv_model(), images_of((8, 8))
    found = scored(
        step(SensitivityMax, radius=0.8, samples=7, internal_batch_size=3), {"ixg": step(InputGradient)}, model, images
    )
    table = found.tables["sensitivity"]
    method = InputXGradient(model.module)
    for position in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(seed_of(found, position))
            expected = sensitivity_max(
                lambda inputs: (method.attribute(inputs[0].requires_grad_(), target=1).sum(1),),
                images[position : position + 1],
                perturb_radius=0.8,
                n_perturb_samples=7,
            )
        assert table["sensitivity_max"][position] == pytest.approx(float(expected[0]), rel=1e-10)


def test_on_a_linear_net_input_times_gradient_changes_as_the_noise_does():
    model, images = linear_model(), images_of()
    found = scored(step(SensitivityMax, radius=0.1, samples=5), {"ixg": step(InputGradient)}, model, images)
    weights = model.module[1].weight[1].detach().reshape(3, 4, 6)
    for position in range(2):
        generator = torch.Generator().manual_seed(seed_of(found, position))
        noise = torch.empty(5, 3, 4, 6).uniform_(-0.1, 0.1, generator=generator).double()
        norm = (weights * images[position]).sum(0).norm()
        changes = [float((weights * each).sum(0).norm() / norm) for each in noise]
        assert found.tables["sensitivity"]["sensitivity_max"][position] == pytest.approx(max(changes), rel=1e-10)


def test_a_constant_gradient_is_not_sensitive_and_a_map_of_zeros_has_no_sensitivity():
    model, images = linear_model(), images_of()
    earlier = {"gradient": step(InputGradient, times_input=False), "ixg": step(InputGradient)}
    found = scored(step(SensitivityMax), earlier, model, 0 * images).tables["sensitivity"]
    np.testing.assert_array_equal(found.where("attribution", "gradient/input")["sensitivity_max"], [0, 0])
    np.testing.assert_array_equal(found.where("attribution", "ixg/input")["sensitivity_max"], [np.nan, np.nan])


def test_sensitivity_depends_on_the_seed_and_on_no_internal_batch_size():
    model, images = conv_model(), images_of((8, 8))

    def found(**options):
        result = scored(step(SensitivityMax, samples=5, **options), {"ixg": step(InputGradient)}, model, images)
        return result.tables["sensitivity"]["sensitivity_max"]

    torch.manual_seed(3)
    state = torch.get_rng_state()
    np.testing.assert_allclose(found(internal_batch_size=1), found(internal_batch_size=99), rtol=1e-12)
    assert (found(seed=1) != found()).all()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_step_that_cannot_be_computed_once_more_is_refused():
    of = {"cam": ik.visualize(tiny_model(), tiny_images(1), "grad_cam", layers=["features"], target=1)}
    with pytest.raises(ik.StepError, match="step 'cam' cannot be computed once more"):
        ik.visualize(tiny_model(), tiny_images(1), "sensitivity_max", of=of)
    cam = step(GradCAM, layers=["features"], target={"top": 2})
    with pytest.raises(ik.StepError, match="explains several classes"):
        scored(step(SensitivityMax), {"cam": cam}, tiny_model(), tiny_images(1))


# Infidelity


def infidelity(model, images, maps, **options):
    """Return the rows of the score for maps `(image, y, x)` that explain class 1, by name."""
    base = scored(step(Sparseness), {"ixg": step(InputGradient)}, model, images)
    scores = model.module(images).detach()[:, 1].tolist()
    targets = tuple(ik.Target(spec=1, label="1", score=score, probability=0.5) for score in scores)
    extent = dict(zip("yx", images.shape[-2:], strict=True))
    results = {
        name: ik.Result(
            maps={"a": ik.Map(values=each, dims=("image", "y", "x"), layer="", extent=extent, polarity="signed")},
            images=base.images,
            targets=targets,
        )
        for name, each in maps.items()
    }
    found = ik.visualize(model, images, "infidelity", of=results, **options)
    return found, {name: found.tables["infidelity"].where("attribution", f"{name}/a") for name in maps}


@pytest.mark.parametrize("fill", ["zero", "image_mean"])
def test_on_a_linear_net_contributions_against_the_baseline_predict_every_change(fill):
    model, images = linear_model(), images_of()
    weights = model.module[1].weight[1].detach().reshape(3, 4, 6)
    baseline = images.mean((2, 3), keepdim=True) if fill == "image_mean" else 0
    exact = (weights * (images - baseline)).sum(1).numpy()
    coarse = exact.reshape(2, 2, 2, 3, 2).sum((2, 4))
    maps = {"exact": exact, "coarse": coarse, "thrice": 3 * exact, "against": -exact, "nothing": 0 * exact}
    _, rows = infidelity(model, images, maps, fill=fill)
    for name, scale in {"exact": 1, "coarse": 1, "thrice": 1 / 3, "against": -1}.items():
        np.testing.assert_allclose(rows[name]["relative"], 0, atol=1e-20)
        np.testing.assert_allclose(rows[name]["infidelity"], 0, atol=1e-20)
        np.testing.assert_allclose(rows[name]["scale"], scale, rtol=1e-9)
    np.testing.assert_allclose(rows["coarse"]["unscaled"], 0, atol=1e-20)
    np.testing.assert_allclose(rows["against"]["unscaled"], 4 * rows["against"]["change"], rtol=1e-9)
    np.testing.assert_allclose(rows["nothing"]["relative"], 1)
    assert (rows["exact"]["change"] > 0).all()


@pytest.mark.parametrize("grid", [(2, 3), (8, 9)])
def test_infidelity_equals_captum_called_directly_on_the_map_spread_over_its_pixels(grid):
    from captum.metrics import infidelity as by_captum

    model, images = conv_model(), images_of((8, 9))
    values = np.random.default_rng(0).standard_normal((2, *grid))
    found, rows = infidelity(model, images, {"m": values}, samples=11, internal_batch_size=4, sigma=0.3)
    up = (8 // grid[0], 9 // grid[1])
    for position in range(2):
        shares = 0.3 * np.random.default_rng(seed_of(found, position)).standard_normal((11, *grid))
        shares = torch.from_numpy(np.kron(shares, np.ones((1, *up))))[:, None].expand(-1, 3, -1, -1)
        spread = torch.from_numpy(np.kron(values[position], np.ones(up)) / (3 * up[0] * up[1])).expand(1, 3, -1, -1)
        for normalize, column in ((True, "infidelity"), (False, "unscaled")):
            expected = by_captum(
                model.module,
                lambda inputs, shares=shares: (shares, inputs * (1 - shares)),
                images[position : position + 1],
                spread,
                target=1,
                n_perturb_samples=11,
                normalize=normalize,
            )
            assert rows["m"][column][position] == pytest.approx(float(expected[0]), rel=1e-8)


def half_model(size=(4, 6)) -> ik.Model:
    """Return a linear network that looks at the left half of its input alone."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * size[0] * size[1], 4)).double().eval()
    left = torch.zeros(3, *size)
    left[..., : size[1] // 2] = 1
    net[1].weight.data *= left.reshape(-1)
    return ik.wrap(net, name="half")


@pytest.mark.parametrize("samples", [2, 3, 24, 1000])
def test_chance_is_the_beta_distribution_of_the_angle_between_random_directions(samples):
    beta = scipy.stats.beta((samples - 1) / 2, 1 / 2)
    expected = [beta.mean(), *beta.ppf([0.05, 0.95])]
    np.testing.assert_allclose(predictions.by_chance(samples), expected, rtol=1e-6)


def test_a_map_of_what_the_network_does_not_see_gets_what_chance_brings():
    model, images = half_model(), images_of(count=400)
    blind = np.random.default_rng(3).standard_normal((400, 4, 6))
    blind[..., :3] = 0
    _, rows = infidelity(model, images, {"blind": blind}, samples=12)
    found = rows["blind"]["relative"]
    low, high = rows["blind"]["chance_low"][0], rows["blind"]["chance_high"][0]
    assert rows["blind"]["chance"][0] == pytest.approx(11 / 12)
    assert found.mean() == pytest.approx(11 / 12, abs=4 * found.std() / 20)
    assert (found < low).mean() == pytest.approx(0.05, abs=0.035)
    assert (found > high).mean() == pytest.approx(0.05, abs=0.035)


def test_the_interval_is_that_of_resampled_perturbations_each_with_its_own_scale():
    generator = np.random.default_rng(5)
    predicted = generator.standard_normal(30)
    drops = predicted + generator.standard_normal(30)
    again = np.random.default_rng(9)
    slow = []
    for _ in range(predictions.RESAMPLES):
        chosen = again.integers(30, size=30)
        scale = np.linalg.lstsq(predicted[chosen, None], drops[chosen])[0]
        slow.append(np.mean((scale * predicted[chosen] - drops[chosen]) ** 2) / np.mean(drops[chosen] ** 2))
    found = predictions.interval(predicted, drops, np.random.default_rng(9))
    np.testing.assert_allclose(found, np.quantile(slow, [0.05, 0.95]), rtol=1e-10)
    assert found[0] < predictions.compared(predicted, drops).relative < found[1]
    assert predictions.interval(0 * predicted, drops, np.random.default_rng(9)) == (1, 1)
    assert np.isnan(predictions.interval(predicted, 0 * drops, np.random.default_rng(9))).all()


def test_the_caption_names_maps_that_so_few_samples_do_not_tell_from_one_that_predicts_nothing():
    model, images = half_model(), images_of(count=1)
    exact = (model.module[1].weight[1].detach().reshape(3, 4, 6) * images).sum(1).numpy()
    blind = exact[..., ::-1].copy()
    found, rows = infidelity(model, images, {"exact": exact, "blind": blind}, samples=24)
    assert rows["blind"]["relative"] > rows["blind"]["chance_low"]
    (figure,) = ik.draw(found)
    assert "With 24 draws a map that predicts nothing gets 0.958 in the mean, and below 0.843" in figure.caption
    assert "Not to be told from it: blind/a;" in figure.caption


def test_a_score_that_never_changes_leaves_nothing_to_predict():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).double().eval()
    nn.init.zeros_(net[2].weight)
    _, rows = infidelity(ik.wrap(net), images_of(), {"m": np.ones((2, 4, 6))})
    assert np.isnan(rows["m"]["relative"]).all()
    np.testing.assert_array_equal(rows["m"]["change"], 0)


# All


def cams():
    return {
        name: step(GradCAM, layers=[layer], target=1) for name, layer in (("cam", "features"), ("early", "features.0"))
    }


@pytest.mark.parametrize(
    ("visualizer", "options"), [(Sparseness, {}), (SensitivityMax, {"samples": 3}), (Infidelity, {"samples": 5})]
)
def test_scores_keep_the_contract(visualizer, options):
    check_visualizer(visualizer, of=cams(), images=tiny_images(3), **options)


@pytest.mark.parametrize(
    ("visualizer", "column", "says"),
    [
        (Sparseness, "gini", "Sparser is not more faithful"),
        (SensitivityMax, "sensitivity_max", "Lower is more stable"),
        (Infidelity, "relative", "Lower is better"),
    ],
)
def test_figures_say_which_way_is_better(visualizer, column, says):
    found = scored(step(visualizer), cams(), tiny_model(), tiny_images(1))
    (figure,) = step(visualizer).draw(found)
    assert says in figure.caption
    (table,) = found.tables.values()
    for name, value in zip(table["attribution"], table[column], strict=True):
        assert f"{name}: class 1 {value:.3g}" in figure.alt


def test_a_map_that_points_the_wrong_way_says_so():
    model, images = linear_model(), images_of(count=1)
    weights = model.module[1].weight[1].detach().reshape(3, 4, 6)
    found, _ = infidelity(model, images, {"against": -(weights * images).sum(1).numpy()})
    (figure,) = ik.draw(found)
    assert "wrong sign" in figure.alt


def test_the_documented_recipe_is_valid(tmp_path):
    from interpretkit.contracts.registry import discover
    from interpretkit.engine.resolve import resolve
    from interpretkit.recipe.read import read_recipe

    page = (Path(__file__).parents[2] / "docs" / "scores.md").read_text()
    (code,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "recipe.yaml").write_text(code)
    steps = resolve(read_recipe(tmp_path / "recipe.yaml"), discover()).steps
    for step_ in steps:
        assert step_.visualizer.name in {"feature_grid", "grad_cam"} or f"`{step_.visualizer.name}`" in page
