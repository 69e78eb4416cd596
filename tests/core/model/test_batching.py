from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import interpretkit as ik

IMAGES = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, norm=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = norm or nn.Identity()
        self.fc = nn.Linear(8, 5)
        self.double().eval()

    def mixed(self, features):
        return features

    def forward(self, images):
        features = torch.relu(self.norm(self.mixed(self.conv(images))))
        return self.fc(features.mean((2, 3)))


class Shifted(Net):
    """Takes two channels from the image before, as a temporal shift over the frames of a clip does."""

    def mixed(self, features):
        return torch.cat([features[:, :2].roll(1, 0), features[:, 2:]], 1)


class Stateful(Net):
    potential = 0.0

    def mixed(self, features):
        self.potential = 0.5 * self.potential + features.detach().mean()
        return features + self.potential


class Dropped(Net):
    def mixed(self, features):
        return nn.functional.dropout(features, 0.5, training=True)


class Scaled(Net):
    """Divides by the greatest value of the batch."""

    def mixed(self, features):
        return features / features.abs().max()


class Referenced(Net):
    """Takes the first image of a batch for a reference."""

    def mixed(self, features):
        return features - features[:1] / 2


class Switched(Net):
    """Does something else in a large batch."""

    def mixed(self, features):
        return features * 2 if len(features) > 2 else features


MIXING = [lambda: Net(nn.BatchNorm2d(8, track_running_stats=False)), Shifted, Scaled, Referenced]


def drops(net, variants_of):
    """By how much the score of class 1 drops for each variant, each in a pass of its own, by image."""
    with torch.no_grad():
        rows = [
            [net(image[None])[0, 1] - net(variant[None])[0, 1] for variant in variants_of(image)] for image in IMAGES
        ]
    return torch.tensor(rows)


def without_quarters(image):
    for row in (0, 8):
        for column in (0, 8):
            variant = image.clone()
            variant[:, row : row + 8, column : column + 8] = 0
            yield variant


@pytest.mark.parametrize("make", MIXING)
def test_where_images_of_a_batch_mix_variants_go_one_by_one(make):
    net = make()
    options = {"target": 1, "window": 8, "stride": 8, "internal_batch_size": 16}
    found = ik.visualize(ik.wrap(net), IMAGES, "occlusion", batch_size=1, **options)
    corners = torch.from_numpy(found.maps["input"].values)[:, ::8, ::8].flatten(1)
    torch.testing.assert_close(corners, drops(net, without_quarters), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("make", MIXING)
def test_ablations_go_one_by_one_too(make):
    net = make()
    found = ik.visualize(ik.wrap(net), IMAGES[:1], "ablation_cam", layers=["conv"], target=1)
    with torch.no_grad():
        features = net.conv(IMAGES[:1])
        score = net(IMAGES[:1])[0, 1]
        weights = []
        for channel in range(8):
            handle = net.conv.register_forward_hook(
                lambda _module, _arguments, output, channel=channel: output.index_fill(1, torch.tensor(channel), 0)
            )
            weights.append(score - net(IMAGES[:1])[0, 1])
            handle.remove()
        expected = torch.einsum("k,kyx->yx", torch.stack(weights), features[0])
    torch.testing.assert_close(torch.from_numpy(found.maps["conv"].values[0]), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("make", MIXING)
@pytest.mark.parametrize("method", ["integrated_gradients", "smooth_grad"])
def test_paths_and_samples_are_the_same_in_any_size_of_batch(make, method):
    more = {"steps": 6} if method == "integrated_gradients" else {"samples": 3}
    many = ik.visualize(ik.wrap(make()), IMAGES[:1], method, target=1, internal_batch_size=8, **more)
    one = ik.visualize(ik.wrap(make()), IMAGES[:1], method, target=1, internal_batch_size=1, **more)
    torch.testing.assert_close(many.maps["input"].values, one.maps["input"].values, rtol=1e-9, atol=1e-12)


def test_a_network_that_normalises_over_the_batch_sees_each_image_alone():
    net = MIXING[0]()
    found = ik.visualize(ik.wrap(net), IMAGES, "saliency", target=1)
    with torch.no_grad():
        alone = [float(net(image[None])[0, 1]) for image in IMAGES]
    assert [target.score for target in found.targets] == pytest.approx(alone)


@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients", "score_cam", "ablation_cam"])
def test_a_state_that_goes_from_pass_to_pass_is_refused(method):
    more = {"layers": ["conv"]} if method.endswith("cam") else {}
    with pytest.raises(ik.StepError, match="keeps a state from pass to pass: the same image gives"):
        ik.visualize(ik.wrap(Stateful()), IMAGES, method, **more)


@pytest.mark.parametrize(
    ("make", "words"), [(Dropped, "is random in eval mode"), (Shifted, "mixes the images of a batch")]
)
def test_a_reader_is_told(make, words, tmp_path):
    recipe = {
        "schema": "interpretkit/1",
        "name": "a",
        "steps": [{"id": "map", "uses": "occlusion", "with": {"window": 8, "stride": 8}}],
    }
    run = ik.run(recipe, model=make(), images=IMAGES[:1], output=tmp_path)
    assert any(words in alert for alert in run.manifest["steps"][0]["alerts"])


@pytest.mark.parametrize(("method", "options"), [("occlusion", {"window": 8, "stride": 8}), ("saliency", {})])
@pytest.mark.parametrize("make", MIXING)
def test_images_that_would_mix_go_alone(make, method, options):
    together = ik.visualize(ik.wrap(make()), IMAGES, method, target=1, **options)
    for position, image in enumerate(IMAGES):
        alone = ik.visualize(ik.wrap(make()), image[None], method, target=1, **options)
        assert (together.maps["input"].values[position] == alone.maps["input"].values[0]).all()


RECIPE = {
    "schema": "interpretkit/1",
    "name": "a",
    "steps": [
        {"id": "map", "uses": "saliency"},
        {"id": "features", "uses": "feature_grid", "with": {"layers": ["conv"]}},
        {"id": "windows", "uses": "occlusion", "with": {"window": 8, "stride": 8}},
    ],
}


class Restless(Net):
    """Its batch normalisation trains whatever mode it is told."""

    def __init__(self):
        super().__init__(nn.BatchNorm2d(8))

    def train(self, mode=True):
        super().train(mode)
        self.norm.training = True
        return self


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Dropped, "the network is random in eval mode: two passes"),
        (Shifted, "the network mixes the images of a batch, so each goes alone: an image gives"),
        (Restless, "in eval mode a layer still trains: norm (BatchNorm2d)"),
    ],
)
def test_every_step_says_it_whether_it_makes_passes_or_not(make, words, tmp_path):
    run = ik.run(RECIPE, model=make(), images=IMAGES, output=tmp_path)
    alerts = {step["id"]: step["alerts"] for step in run.manifest["steps"]}
    assert [name for name, texts in alerts.items() if any(words in text for text in texts)] == [
        "map",
        "features",
        "windows",
    ]


def test_a_network_that_draws_numbers_and_does_not_use_them_is_not_random(tmp_path):
    class Idle(Net):
        def mixed(self, features):
            torch.rand(3)
            return features

    run = ik.run(RECIPE, model=Idle(), images=IMAGES[:1], output=tmp_path)
    assert [step["alerts"] for step in run.manifest["steps"]] == [[], [], []]


def test_layers_that_train_see_each_image_alone():
    found = ik.visualize(ik.wrap(Restless()), IMAGES, "saliency", target=1)
    net = Restless()
    with torch.no_grad():
        alone = [float(net(image[None])[0, 1]) for image in IMAGES]
    assert [target.score for target in found.targets] == pytest.approx(alone)


def test_plain_networks_go_in_batches():
    sizes = []
    net = Net()
    net.register_forward_hook(lambda _module, arguments, _output: sizes.append(len(arguments[0])))
    ik.visualize(ik.wrap(net), IMAGES[:1], "occlusion", window=4, stride=4, internal_batch_size=16)
    assert max(sizes) == 16


def test_a_network_that_does_something_else_in_a_large_batch_sees_each_image_alone():
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = ik.visualize(Switched(), images, "saliency", target=1).maps["input"].values
    alone = [ik.visualize(Switched(), image[None], "saliency", target=1).maps["input"].values for image in images]
    np.testing.assert_allclose(found, np.concatenate(alone), rtol=1e-10)


def test_a_single_image_goes_through_a_network_that_is_random():
    class Noisy(Net):
        def forward(self, images):
            return super().forward(images + 0.01 * torch.randn_like(images))

    model = ik.wrap(Noisy())
    found = ik.visualize(model, IMAGES[:1], "grad_cam", layers=["conv"], target=1)
    assert found.maps["conv"].values.shape == (1, 16, 16)
    assert "the network is random in eval mode" in " ".join(model.remarks)


def test_a_network_that_fails_when_it_is_asked_again_says_so_in_its_own_words():
    class Once(Net):
        passes = 0

        def forward(self, images):
            self.passes += 1
            if self.passes > 1:
                raise RuntimeError("the licence is used up")
            return super().forward(images)

    with pytest.raises(ik.StepError, match="the licence is used up"):
        ik.visualize(ik.wrap(Once()), IMAGES, "saliency")
