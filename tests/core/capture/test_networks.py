from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import interpretkit as ik

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
METHODS = {
    "grad_cam": {"layers": ["second"]},
    "score_cam": {"layers": ["first"]},
    "integrated_gradients": {"steps": 4},
    "occlusion": {"window": 8, "stride": 8},
    "smooth_grad": {"samples": 2},
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 5)
        self.eval()

    def head(self, features):
        return self.fc(torch.relu(self.second(torch.relu(features))).mean((2, 3)))

    def forward(self, images):
        return self.head(self.first(images))


def values(net, method, **more):
    target = {} if method in ("feature_grid", "channel_stats") else {"target": 1}
    found = ik.visualize(ik.wrap(net), IMAGES, method, **target, **(METHODS.get(method, {}) | more))
    return next(iter(found.maps.values())).values


def with_compiled_part():
    net = Net()
    net.second = torch.compile(net.second, backend="eager")
    return net


def compiled_itself():
    net = Net()
    net.compile(backend="eager")
    return net


WRAPPED = {
    "compiled": lambda: torch.compile(Net(), backend="eager"),
    "compiled itself": compiled_itself,
    "with a compiled part": with_compiled_part,
    "data parallel": lambda: nn.DataParallel(Net()),
    "compiled data parallel": lambda: torch.compile(nn.DataParallel(Net()), backend="eager"),
    "symbolic": lambda: torch.fx.symbolic_trace(Net()),
}


@pytest.mark.parametrize("make", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("method", METHODS)
def test_a_wrapped_network_gives_the_numbers_of_the_plain_one(make, method):
    np.testing.assert_allclose(values(make(), method), values(Net(), method), rtol=1e-5, atol=1e-7)


SCRIPTS = {
    "scripted": lambda: torch.jit.script(Net()),
    "traced": lambda: torch.jit.trace(Net(), IMAGES),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(Net())),
}


@pytest.mark.parametrize("make", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_torchscript_is_explained_at_the_input_and_refused_at_layers(make):
    for method in ("saliency", "integrated_gradients", "occlusion"):
        np.testing.assert_allclose(values(make(), method), values(Net(), method), rtol=1e-4, atol=1e-6)
    for net, layer in [(make(), "second"), (nn.Sequential(make()), "0.second")]:
        with pytest.raises(ik.RecipeError, match=f"is TorchScript, which cannot be looked into, so .* {layer}"):
            values(net, "grad_cam", layers=[layer])
    with pytest.raises(ik.RecipeError, match="is TorchScript, which cannot be looked into, so it has no layers"):
        ik.wrap(make()).layers(size=(16, 16))
    for method in ("lrp", "deep_lift", "guided_backprop"):
        with pytest.raises(ik.StepError, match="is TorchScript, in which no operation can be given a rule"):
            values(make(), method)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_what_is_optimised_for_inference_is_said_to_cut_its_gradients():
    net = torch.jit.optimize_for_inference(torch.jit.script(Net()))
    np.testing.assert_allclose(values(net, "occlusion"), values(Net(), "occlusion"), rtol=1e-4, atol=1e-6)
    with pytest.raises(ik.StepError, match="the network cuts the gradient between the input and the score"):
        values(net, "saliency")


class NoGrad(Net):
    def forward(self, images):
        with torch.no_grad():
            features = self.first(images)
        return self.head(features)


class Detached(Net):
    def forward(self, images):
        return self.head(self.first(images).detach())


class Inferred(Net):
    @torch.inference_mode()
    def forward(self, images):
        return self.head(self.first(images))


class Checkpointed(Net):
    def forward(self, images):
        return self.head(checkpoint(self.first, images, use_reentrant=True))


CUT = [NoGrad, Detached, Inferred, Checkpointed]


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_gradient_that_the_network_cuts_is_said_to_be_cut(kind):
    with pytest.raises(ik.StepError, match="the network cuts the gradient between layer first and the score"):
        values(kind(), "grad_cam", layers=["first"])
    assert abs(values(kind(), "ablation_cam", layers=["first"])).max() > 0
    np.testing.assert_allclose(values(kind(), "occlusion"), values(Net(), "occlusion"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [NoGrad, Detached, Inferred])
@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "smooth_grad"])
def test_at_the_input_too(kind, method):
    with pytest.raises(ik.StepError, match="the network cuts the gradient between the input and the score"):
        values(kind(), method)


def test_behind_the_cut_the_gradient_is_that_of_the_plain_network():
    for kind in (NoGrad, Detached):
        np.testing.assert_allclose(values(kind(), "grad_cam"), values(Net(), "grad_cam"), rtol=1e-5, atol=1e-7)


def test_a_layer_off_the_way_is_still_said_to_be_off_it():
    class Aside(Net):
        def forward(self, images):
            self.second(self.first(images))
            return self.fc(self.first(images).mean((2, 3)))

    with pytest.raises(ik.StepError, match="the score does not depend on layer second"):
        values(Aside(), "grad_cam")


class Hooked(Net):
    def forward(self, images):
        features = self.first(images)
        features.register_hook(lambda gradient: gradient)
        return self.head(features)


@pytest.mark.parametrize("method", [*METHODS, "feature_grid"])
def test_a_network_that_hooks_its_own_tensors_gives_the_numbers_of_the_plain_one(method):
    more = {"layers": ["second"]} if method == "feature_grid" else {}
    expected = values(Net(), method, **more)
    np.testing.assert_allclose(values(Hooked(), method, **more), expected, rtol=1e-5, atol=1e-7)


class Kept(nn.Module):
    """Writes its features into a buffer of its own, and returns that."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.buffer = None

    def forward(self, images):
        with torch.no_grad():
            features = self.conv(images)
            if self.buffer is None or self.buffer.shape != features.shape:
                self.buffer = torch.zeros_like(features)
            self.buffer.copy_(features)
        return self.buffer


def test_what_a_layer_keeps_does_not_depend_on_which_other_steps_run():
    torch.manual_seed(0)
    net = nn.Sequential(Kept(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    steps = {"first": ik.step("occlusion", window=16, stride=16), "then": ik.step("feature_grid", layers=["0"])}
    together = ik.visualize(ik.wrap(copy.deepcopy(net)), IMAGES[:1], steps)["then"]
    alone = ik.visualize(ik.wrap(net), IMAGES[:1], "feature_grid", layers=["0"])
    np.testing.assert_array_equal(together.maps["0"].values, alone.maps["0"].values)


class Clips(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 5)

    def forward(self, images):
        halves = torch.cat(images.chunk(2, dim=3))
        return self.fc(torch.relu(self.body(halves)).mean((2, 3))).view(2, len(images), -1).mean(0)


@pytest.mark.parametrize("method", ["grad_cam", "score_cam", "ablation_cam", "feature_grid", "channel_stats"])
def test_a_layer_of_more_rows_than_images_is_refused_with_its_cause(method):
    with pytest.raises(ik.StepError, match="layer body returns 4 rows for 2 images, so it is not known which"):
        values(Clips(), method, layers=["body"])


def test_such_a_network_is_explained_at_the_input():
    leaf = IMAGES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Clips()(leaf)[:, 1].sum(), leaf)
    np.testing.assert_allclose(values(Clips(), "saliency"), gradient.abs().amax(1), rtol=1e-5)


class Tuples(Net):
    """A block that returns its features beside attention that is not asked for, as those of transformers do."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, images):
            return self.conv(images), None

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.block = self.Block().eval()
        self.block.conv.load_state_dict(self.first.state_dict())

    def forward(self, images):
        return self.head(self.block(images)[0])


@pytest.mark.parametrize("method", ["grad_cam", "score_cam", "ablation_cam", "feature_grid"])
def test_a_layer_that_returns_one_tensor_in_a_tuple_is_that_tensor(method):
    found, expected = values(Tuples(), method, layers=["block"]), values(Net(), method, layers=["first"])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert ik.wrap(Tuples()).layers("block", size=(16, 16))[0].shape == (4, 16, 16)


class Embedded(nn.Module):
    """An embedding of float32 that is not used, then convolutions of another dtype."""

    def __init__(self, dtype):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(2, 2)
        self.packed = nn.Parameter(torch.zeros(2, dtype=torch.uint8), requires_grad=False)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
        self.body.to(dtype)

    def forward(self, images):
        return self.body(images)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("given", [torch.float64, torch.float32, torch.bfloat16])
def test_images_are_fed_in_the_dtype_of_the_first_convolution(dtype, given):
    net = Embedded(dtype)
    found = ik.visualize(ik.wrap(net), IMAGES.to(given), "feature_grid", layers=["body.0"])
    with torch.no_grad():
        expected = net.body[0](IMAGES.to(given).to(dtype)).float()
    torch.testing.assert_close(torch.from_numpy(found.maps["body.0"].values).float(), expected)


def test_weights_packed_into_integers_are_no_dtype_of_images():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.packed = nn.Parameter(torch.ones(5, 48, dtype=torch.uint8), requires_grad=False)

        def forward(self, images):
            return images[:, :, :4, :4].flatten(1) @ (self.packed.T.to(images) - 128)

    found = ik.visualize(ik.wrap(Packed()), IMAGES, "saliency", target=1)
    assert found.targets[0].score == pytest.approx(-127 * float(IMAGES[0, :, :4, :4].sum()), rel=1e-4)


class Failing(Net):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, images):
        raise self.error


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "does it take images of this size"),
        (KeyError("gpu_state"), "does the network itself run on such a batch"),
        (RuntimeError("Input type (float) and bias type (c10::BFloat16) should be the same"), "have other dtypes"),
        (RuntimeError("Expected all tensors to be on the same device"), "lie on another device"),
    ],
)
def test_the_next_step_after_a_failure_fits_its_cause(error, hint):
    with pytest.raises(ik.StepError) as caught:
        values(Failing(error), "saliency")
    assert hint in str(caught.value)
    assert ("images of this size" in str(caught.value)) == ("images of this size" in hint)


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (lambda scores: scores.detach().numpy(), "returns a ndarray 2×5, not one number for each class"),
        (lambda scores: scores.argmax(1), "torch.int64 numbers 2, which has no gradients"),
        (lambda scores: scores[:1], "returns 1 row for 2 images"),
        (lambda scores: torch.cat([scores, scores]), "returns 4 rows for 2 images"),
        (lambda scores: None, "returns a NoneType, not one number"),
        (lambda scores: scores.mean(), "returns 0 rows for 2 images"),
    ],
)
def test_what_is_no_score_of_each_image_is_refused_with_what_it_is(returns, message):
    class Odd(Net):
        def forward(self, images):
            return returns(super().forward(images))

    with pytest.raises(ik.StepError, match=message):
        values(Odd(), "saliency")


class Lazy(Net):
    """Puts a hook on a layer of its own in its first pass, and counts on it in all others."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.watches = False

    def forward(self, images):
        if not self.watches:
            self.second.register_forward_hook(lambda _m, _a, output: self.seen.append(output))
            self.watches = True
        self.seen.clear()
        features = torch.relu(self.second(torch.relu(self.first(images))))
        return self.fc(torch.relu(self.seen[-1]).mean((2, 3)) + 0 * features.mean((2, 3)))


@pytest.mark.parametrize("method", ["score_cam", "integrated_gradients", "occlusion", "smooth_grad"])
def test_hooks_that_a_network_puts_on_itself_in_its_first_pass_stay(method):
    net = Lazy()
    first = values(net, method)
    np.testing.assert_allclose(values(net, method), first, rtol=1e-5, atol=1e-7)
    assert len(net.second._forward_hooks) == 1
    torch.testing.assert_close(net(IMAGES), Net()(IMAGES))
    if method == "occlusion":
        np.testing.assert_allclose(first, values(Net(), method), rtol=1e-4, atol=1e-6)


def test_looking_at_the_layers_first_changes_nothing():
    net = Lazy()
    ik.wrap(net).layers(size=(16, 16))
    np.testing.assert_allclose(values(net, "occlusion"), values(Net(), "occlusion"), rtol=1e-4, atol=1e-6)


class KeepsByHook(nn.Module):
    """Goes on with what a hook of its own has kept of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.head = nn.Linear(4, 3)
        self.body[1].register_forward_hook(lambda _m, _a, output: setattr(self, "kept", output))

    def forward(self, x):
        self.body(x)
        return self.head(self.kept.mean((2, 3)))


@pytest.mark.parametrize("layer", ["body.0", "body.1", "body"])
def test_a_network_that_goes_on_with_what_its_own_hook_kept_has_its_gradients(layer):
    torch.manual_seed(0)
    net = KeepsByHook().eval()
    plain = nn.Sequential(*net.body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.head)
    images = torch.rand(2, 3, 8, 8)
    found = ik.visualize(ik.wrap(net), images, "grad_cam", layers=[layer], target=1)
    expected = ik.visualize(ik.wrap(plain), images, "grad_cam", layers=["0" if layer == "body.0" else "1"], target=1)
    (cam,), (other,) = found.maps.values(), expected.maps.values()
    np.testing.assert_allclose(cam.values, other.values, rtol=1e-5, atol=1e-8)


class Differentiating(nn.Module):
    """Adds the mean of a gradient that it takes itself: of 0.5 · (w · x)², w · x times the mean of w."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        flat = images.flatten(1)
        if not flat.requires_grad:
            flat.requires_grad_()
        with torch.enable_grad():
            energy = self.head(flat).pow(2).sum() / 2
        (gradient,) = torch.autograd.grad(energy, flat, create_graph=True)
        return self.head(flat) + gradient.mean(1, keepdim=True)


def test_a_network_that_differentiates_in_its_forward_is_explained_at_the_input():
    net = Differentiating().eval()
    images = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    weight = net.head.weight.detach()
    # By hand: s = W₀x + b₀ + mean(Wᵀ(Wx + b)), so its gradient is W₀ + the mean of the rows of WᵀW.
    expected = weight[0] + (weight.T @ weight).mean(0)
    model = ik.wrap(net, output=ik.Classes(returns="logits"))
    found = ik.visualize(model, images, "input_x_gradient", target=0)
    by_hand = (expected.reshape(1, 2, 2) * images[:, 0]).numpy()
    np.testing.assert_allclose(found.maps["input"].values, by_hand, rtol=1e-5)
    occluded = ik.visualize(model, images, "occlusion", target=0, window=1, stride=1)
    np.testing.assert_allclose(occluded.maps["input"].values, by_hand, rtol=1e-4, atol=1e-6)


class DifferentiatingByLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(1, 3, 1)

    def forward(self, images):
        images = images.requires_grad_()
        values = self.body(images).mean((2, 3))
        (gradient,) = torch.autograd.grad(values.pow(2).sum(), images, create_graph=True)
        return values + gradient.mean((1, 2, 3))[:, None]


def test_a_layer_that_cuts_the_gradients_of_such_a_network_is_refused_with_the_cause():
    model = ik.wrap(DifferentiatingByLayer().eval(), output=ik.Classes(returns="logits"))
    with pytest.raises(ik.StepError, match="takes gradients in its own forward, which end at recorded layers"):
        ik.visualize(model, torch.rand(1, 1, 2, 2), "grad_cam", layers=["body"], target=0)


def test_a_layer_that_returns_no_number_is_refused():
    class Cropped(nn.Sequential):
        def forward(self, images):
            values = self[0](images)
            return values.mean((2, 3)) + self[1](values[..., :0]).sum((2, 3))

    model = ik.wrap(Cropped(nn.Conv2d(3, 4, 3), nn.Identity()).eval(), output=ik.Classes())
    for name in ("feature_grid", "grad_cam", "channel_stats"):
        with pytest.raises(ik.StepError, match="layer 1 returns 2×4×14×0, no number at all"):
            ik.visualize(model, IMAGES, name, layers=["1"])
