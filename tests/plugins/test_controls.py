"""Maps that know nothing of the network."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from torch import nn

import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images
from interpretkit_trust.controls import CentreMap, EdgeMap, RandomMap

CONTROLS = [RandomMap, EdgeMap, CentreMap]
IMAGES = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))


def network(seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return ik.wrap(net.eval(), output=ik.Classes())


def values(control, images=IMAGES, **options):
    return ik.visualize(network(0), images, control.name, **options).maps["input"].values


@pytest.mark.parametrize("control", CONTROLS)
def test_each_keeps_the_contract_and_is_the_same_whatever_network_and_target(control):
    check_visualizer(control)
    found = ik.visualize(network(0), IMAGES, control.name, target=0).maps["input"]
    other = ik.visualize(network(1), IMAGES, control.name, target=2).maps["input"]
    assert found.values.shape == (2, 24, 32)
    assert found.polarity == "unsigned"
    assert found.values.min() >= 0
    np.testing.assert_array_equal(found.values, other.values)


def test_the_random_map_is_uniform_and_each_image_has_its_own():
    found = values(RandomMap)
    for each in found:
        assert scipy.stats.kstest(each.ravel(), "uniform").pvalue > 0.001
        assert abs(np.corrcoef(each[:, :-1].ravel(), each[:, 1:].ravel())[0, 1]) < 0.15
    assert abs(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1]) < 0.15
    # In another batch, and once more, an image has the same.
    np.testing.assert_array_equal(values(RandomMap, IMAGES[1:])[0], found[1])
    assert (values(RandomMap, seed=1) != found).mean() > 0.99


def test_the_edges_are_those_of_a_sobel_filter():
    for found, image in zip(values(EdgeMap), IMAGES, strict=True):
        grey = image.double().mean(0).numpy()
        gradients = [scipy.ndimage.sobel(grey, axis, mode="nearest") for axis in (0, 1)]
        np.testing.assert_allclose(found, np.hypot(*gradients), rtol=1e-5, atol=1e-5)


def test_the_middle_is_greatest_and_falls_off_as_a_gaussian():
    for found in values(CentreMap):
        assert {*zip(*np.nonzero(found == found.max()), strict=True)} == {(11, 15), (11, 16), (12, 15), (12, 16)}
        down, across = (np.arange(24) - 11.5) / 6, (np.arange(32) - 15.5) / 8
        np.testing.assert_allclose(found, np.exp(-(down[:, None] ** 2 + across**2) / 2), rtol=1e-5)


@pytest.mark.parametrize("control", CONTROLS)
def test_of_signals_there_is_none(control):
    net = nn.Sequential(nn.Conv1d(1, 3, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    with pytest.raises(ik.StepError, match=f"{control.name} is of images"):
        ik.visualize(ik.wrap(net.eval(), output=ik.Classes()), torch.rand(1, 1, 20), control.name)


def test_scores_that_watch_a_target_take_it_from_the_control():
    steps = {"map": ik.step("random_map", target=1), "curves": ik.step("deletion_insertion", of=["map"], steps=2)}
    table = ik.visualize(network(0), IMAGES, steps)["curves"].tables["auc"]
    assert {*table["target"].tolist()} == {"1"}


def test_a_control_says_in_its_figure_that_it_knows_nothing_of_the_network():
    figure, *_ = ik.draw(ik.visualize(network(0), tiny_images(), "edge_map"))
    assert figure.caption.startswith("Sobel edges, whatever the network.")
