"""Networks as they come: in place, with modules used again, with functions, residual, of other activations."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from captum import attr
from torch import nn
from torch.nn import functional

import interpretkit as ik


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Two convolutions and a head; what stands between them is given."""

    def __init__(self, *, shared=True, in_place=False):
        super().__init__()
        torch.manual_seed(2)
        self.stem, self.branch, self.last = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3),
        )
        self.relu = nn.ReLU(in_place)
        self.again = self.relu if shared else nn.ReLU(in_place)
        self.third = self.relu if shared else nn.ReLU(in_place)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.features(images).mean((2, 3)))

    def features(self, images):
        values = self.relu(self.stem(images))
        branch = self.branch(values)
        branch += values
        return self.third(self.last(self.again(branch)))


class PreActivation(Net):
    """The ReLU reads what the skip connection reads too."""

    def features(self, images):
        values = self.stem(images)
        return self.third(self.last(self.again(values + self.branch(self.relu(values)))))


class Functional(Net):
    def features(self, images):
        return functional.relu(self.stem(images))


class Method(Net):
    def features(self, images):
        return self.stem(images).relu_()


class Gelu(Net):
    def __init__(self):
        super().__init__()
        self.act = nn.GELU()

    def features(self, images):
        return self.act(self.stem(images))


class Gated(Net):
    def features(self, images):
        values = self.relu(self.stem(images))
        return values * self.branch(values)


class Discarding(Net):
    """Relies on the ReLU working in place."""

    def features(self, images):
        values = self.stem(images)
        self.relu(values)
        return values


class TwiceTheConvolution(Net):
    def features(self, images):
        return self.branch(self.relu(self.branch(self.stem(images))))


def wrapped(kind, **options):
    return ik.wrap(kind(**options).double().eval(), name="net")


def found(model, images, name, **options):
    return ik.visualize(model, images, name, **{"target": 2, **options})


class Guided(torch.autograd.Function):
    """A ReLU that lets only positive gradients through, the slow way: no hooks."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (values,) = ctx.saved_tensors
        return gradient.clamp(min=0) * (values > 0)


class Deconvolved(Guided):
    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp(min=0)


@pytest.mark.parametrize("kind", [Net, PreActivation])
@pytest.mark.parametrize(("name", "rule"), [("guided_backprop", Guided), ("deconvolution", Deconvolved)])
def test_rectifiers_are_guided_in_residual_networks_that_use_one_module_again(images, kind, name, rule):
    in_place = kind is Net
    result = found(wrapped(kind, in_place=in_place), images, name)
    net = kind().double().eval()
    net.relu.forward = rule.apply
    given = images.clone().requires_grad_()
    expected = torch.autograd.grad(net(given)[:, 2].sum(), given)[0].sum(1)
    torch.testing.assert_close(torch.from_numpy(result.maps["input"].values), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.filterwarnings("ignore:Setting", "ignore:Input Tensor 0")
def test_deep_lift_is_complete_where_a_skip_connection_reads_what_a_rectifier_reads(images):
    result = found(wrapped(PreActivation), images, "deep_lift", baseline="image_mean")
    assert np.abs(result.tables["completeness"]["gap"]).max() < 1e-14
    net = PreActivation(shared=False).double().eval()
    baseline = images.mean((2, 3), keepdim=True).expand_as(images)
    _, delta = attr.DeepLift(net).attribute(images, baseline, target=2, return_convergence_delta=True)
    assert float(delta.abs().max()) > 1e-3, "captum is right by itself: the copies before rectifiers are not needed"


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((2, 3), 1, ceil_mode=True)])
def test_deep_lift_is_complete_through_max_pooling_whose_windows_overlap(images, pool):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(True), pool, nn.Conv2d(4, 4, 2), nn.ReLU(True), nn.Flatten())
    net.append(nn.Linear(net(images.float()).shape[1], 3))
    model = ik.wrap(net.double())
    for baseline in ("zero", "image_mean", "blurred"):
        for name in ("deep_lift", "deep_lift_shap"):
            table = found(model, images, name, baseline=baseline).tables["completeness"]
            assert np.abs(table["gap"]).max() < 1e-13
            assert np.abs(table["difference"]).max() > 1e-3


@pytest.mark.filterwarnings("ignore:Setting", "ignore:Input Tensor 0")
def test_deep_lift_through_a_max_pooling_between_linear_layers_equals_captums(images):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 3)
    ).double()
    baseline = images.mean((2, 3), keepdim=True).expand_as(images)
    expected = attr.DeepLift(net).attribute(images, baseline, target=2).sum(1).detach()
    values = torch.from_numpy(found(ik.wrap(net), images, "deep_lift", baseline="image_mean").maps["input"].values)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-14)


RECTIFYING = ["guided_backprop", "deconvolution", "guided_grad_cam", "deep_lift", "deep_lift_shap", "lrp"]


@pytest.mark.parametrize("name", RECTIFYING)
@pytest.mark.parametrize(
    ("kind", "message"),
    [(Functional, r"function relu in the network itself \(Functional\)"), (Method, r"function relu in")],
)
def test_a_rectifier_that_is_no_module_is_refused_with_its_place(images, name, kind, message):
    options = {"layer": "stem"} if name == "guided_grad_cam" else {}
    with pytest.raises(ik.StepError, match=message):
        found(wrapped(kind), images, name, **options)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("guided_backprop", Gelu, r"has none, but gelu in act \(GELU\)"),
        ("deconvolution", Gelu, r"has none, but gelu in act \(GELU\)"),
        ("deep_lift", Gelu, r"function gelu in act \(GELU\)"),
        ("deep_lift", Gated, r"product of activations: mul in the network itself \(Gated\)"),
        ("lrp", Gelu, r"no rule for act \(GELU\)"),
        ("lrp", Net, r"branches that meet by a function add in the network itself \(Net\)"),
        ("lrp", TwiceTheConvolution, r"branch \(Conv2d\), which is called 2 times"),
        ("deep_lift", Discarding, "what one of them has overwritten"),
        ("internal_influence", Discarding, "what one of them has overwritten"),
    ],
)
def test_what_a_method_cannot_explain_is_refused_with_its_place(images, name, kind, message):
    options = {"in_place": True} if kind is Discarding else {}
    more = {"layers": ["stem"]} if name == "internal_influence" else {}
    with pytest.raises(ik.StepError, match=message):
        found(wrapped(kind, **options), images, name, **more)


def test_gradients_are_right_where_the_network_goes_on_with_what_a_module_has_overwritten(images):
    result = found(wrapped(Discarding, in_place=True), images, "integrated_gradients", steps=300)
    assert result.tables["completeness"]["relative_gap"].max() < 0.02


class Attention(nn.Module):
    """A tiny transformer: what only gradients and scores can explain."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 8, 2, stride=2)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 3)

    def forward(self, images):
        return self.head(self.block(self.patches(images).flatten(2).transpose(1, 2)).mean(1))


def test_a_transformer_is_explained_by_gradients_and_perturbations_and_refused_by_rules(images):
    model = ik.wrap(Attention().double().eval())
    for name in ("saliency", "input_x_gradient", "smooth_grad", "var_grad", "integrated_gradients", "gradient_shap"):
        assert np.abs(found(model, images, name).maps["input"].values).max() > 0
    gap = found(model, images, "integrated_gradients").tables["completeness"]["relative_gap"]
    assert np.abs(gap).max() < 1e-4
    for name in ("occlusion", "feature_ablation", "shapley_value_sampling", "lime", "kernel_shap"):
        options = {"window": 4, "stride": 2} if name == "occlusion" else {"patch": 4}
        assert np.abs(found(model, images, name, **options).maps["input"].values).max() > 0
    for name in set(RECTIFYING) - {"guided_grad_cam"}:
        with pytest.raises(ik.StepError, match=r"gelu|native_layer_norm|LayerNorm|softmax|scaled_dot|rule"):
            found(model, images, name)


def test_the_branches_of_a_repvgg_share_relevance_as_its_deploy_form_does():
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = {}
    for form in ("train", "deploy"):
        options = {
            "variant": "custom",
            "depths": (1, 2, 1, 1),
            "widths": (8, 8, 16, 16),
            "num_classes": 5,
            "form": form,
        }
        model = ik.load_model("repvgg", dtype="float64", **options)
        for name in ("lrp", "deep_lift", "input_x_gradient"):
            more = {"baseline": "image_mean"} if name == "deep_lift" else {}
            result = ik.visualize(model, images, name, target=1, **more)
            found[form, name] = torch.from_numpy(result.maps["input"].values)
    scale = float(found["deploy", "lrp"].abs().max())
    for name in ("lrp", "deep_lift", "input_x_gradient"):
        torch.testing.assert_close(found["train", name], found["deploy", name], rtol=1e-4, atol=1e-5 * scale)
    torch.testing.assert_close(found["train", "lrp"], found["train", "input_x_gradient"], rtol=1e-4, atol=1e-5 * scale)


def test_deep_lift_is_complete_on_a_resnet_which_uses_its_rectifiers_again():
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=5).double().eval()
    images = torch.randn(1, 3, 48, 48, dtype=torch.float64)
    table = ik.visualize(ik.wrap(net), images, "deep_lift", target=1).tables["completeness"]
    assert abs(table["gap"][0]) < 1e-12 < abs(table["difference"][0])


class ChannelsLast(nn.Module):
    """Works on channels that come last after the first convolution, as Swin does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.linear, self.relu, self.head = (
            nn.Conv2d(3, 7, 2, stride=2),
            nn.Linear(7, 7),
            nn.ReLU(),
            nn.Linear(7, 3),
        )

    def forward(self, images):
        return self.head(self.relu(self.linear(self.patches(images).movedim(1, -1))).mean((1, 2)))


@pytest.mark.parametrize("layer", ["patches", "linear"])
def test_guided_grad_cam_is_the_product_of_both_where_channels_come_last(images, layer):
    model = ik.wrap(ChannelsLast().double().eval())
    cam = torch.from_numpy(found(model, images, "grad_cam", layers=[layer], target=1).maps[layer].values).clamp(min=0)
    raised = functional.interpolate(cam[:, None], (8, 10), mode="bilinear", align_corners=False)[:, 0]
    guided = torch.from_numpy(found(model, images, "guided_backprop", target=1).maps["input"].values)
    values = torch.from_numpy(found(model, images, "guided_grad_cam", layer=layer, target=1).maps["input"].values)
    torch.testing.assert_close(values, guided * raised, rtol=1e-12, atol=1e-15)


class Torn(nn.Module):
    """The backward pass fails before it has come to the first ReLU."""

    def __init__(self):
        super().__init__()
        self.first, self.relu, self.last, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, images):
        values = self.relu(self.first(images)) * 1
        if values.requires_grad:
            values.register_hook(self.tear)
        return self.head(self.last(values).mean((2, 3)))

    def tear(self, gradient):
        raise RuntimeError("torn")


@pytest.mark.parametrize("name", ["deep_lift", "deep_lift_shap"])
def test_captum_leaves_nothing_on_modules_where_the_backward_pass_fails(images, name):
    net = Torn().double()
    before = {path: set(vars(part)) for path, part in net.named_modules()}
    with pytest.raises(ik.StepError, match="torn"):
        found(ik.wrap(net), images, name)
    assert {path: set(vars(part)) for path, part in net.named_modules()} == before


@pytest.mark.parametrize("name", ["guided_backprop", "deep_lift", "lrp", "deconvolution"])
def test_a_network_is_left_as_found_also_after_a_failure(images, name):
    for kind in (Net, Discarding) if name != "lrp" else (Functional, Gelu):
        net = kind(**({} if kind is Gelu else {"in_place": True})).double().train()
        before = {
            path: (type(part), part.training, getattr(part, "inplace", None)) for path, part in net.named_modules()
        }
        parts = [*net.modules()]
        net.stem.weight.requires_grad_(False)
        try:
            found(ik.wrap(net), images, name)
        except ik.StepError:
            assert kind is not Net
        assert [*net.modules()] == parts
        assert {path: (type(p), p.training, getattr(p, "inplace", None)) for path, p in net.named_modules()} == before
        assert [p.requires_grad for p in net.parameters()] == [False] + [True] * (len([*net.parameters()]) - 1)
        assert not any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in parts)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("integrated_gradients", {"baseline": "black"}, ik.StepError, "makes no black image: .*image_mean"),
        ("occlusion", {"window": 9, "stride": 9}, ik.StepError, "9 pixels does not fit into an image of 8×10"),
        (
            "occlusion",
            {"window": 2, "stride": 3},
            ik.RecipeError,
            "stride of 3 leaves pixels that no window of 2 covers",
        ),
        ("kernel_shap", {"patch": 20}, ik.StepError, "at least 2 regions, and the image has 1"),
        ("deep_lift_shap", {"internal_batch_size": 1}, ik.RecipeError, "internal_batch_size"),
        ("guided_grad_cam", {"layer": "head"}, ik.StepError, "head returns 2×3"),
        ("guided_grad_cam", {"layer": "[bl]*"}, ik.StepError, r"needs one layer; \[bl\]\* stands for branch, last"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_hint(name, options, error, message):
    images = torch.zeros(2, 3, 8, 10, dtype=torch.float64)
    net = Net(in_place=True).double().eval()
    with pytest.raises(error, match=message):
        found(ik.wrap(net, transform=lambda image: image.size), images, name, **options)


def test_superpixels_without_scikit_image_say_what_to_install(images, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skimage.segmentation", None)
    with pytest.raises(ik.PluginError, match=r"pip install interpretkit\[superpixels\]"):
        found(wrapped(Net), images, "feature_ablation", regions="superpixels")


def test_lrp_says_that_a_network_cannot_be_copied(images):
    model = wrapped(Net)
    model.module.lock = threading.Lock()
    with pytest.raises(ik.StepError, match=r"LRP changes weights on its way, and the network cannot be copied.*lock"):
        found(model, images, "lrp")
