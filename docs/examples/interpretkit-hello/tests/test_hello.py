import numpy as np
import interpretkit as ik
from interpretkit.testing import check_visualizer, tiny_images, tiny_model
from interpretkit_hello import ActivationEnergy


def test_it_keeps_the_contract():
    check_visualizer(ActivationEnergy, layers=["features"])


def test_it_is_the_root_mean_square_over_channels():
    model, images = tiny_model(), tiny_images()
    channels = ik.visualize(model, images, "feature_grid", layers=["features"]).maps["features"].values
    energy = ik.visualize(model, images, "activation_energy", layers=["features"]).maps["features"].values
    np.testing.assert_allclose(energy, np.sqrt((channels.astype(float) ** 2).mean(1)), rtol=1e-5)
