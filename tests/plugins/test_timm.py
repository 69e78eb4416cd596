from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

import interpretkit as ik
from interpretkit import PluginError, RecipeError, WeightsError
from interpretkit.cli.answers import plugins_text
from interpretkit.contracts.registry import discover
from interpretkit.model.weights.load import blank
from interpretkit_timm.builder import TimmBuilder
from interpretkit_timm.features import aliases_of, class_token_of, layouts_of


def builder(name, **options):
    return TimmBuilder(TimmBuilder.Options(name=name, **options))


def images(height, width, *, count=1, channels=3):
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(height * width))


def small(name, **shape):
    """A narrow, shallow network of a family, as the builder would wrap it."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=4, **shape).eval()
    return ik.Model(module=network, aliases=aliases_of(network), layouts=layouts_of(network))


TRANSFORMER = {"patch_size": 8, "embed_dim": 12, "depth": 3, "num_heads": 2}
SWIN = {"embed_dim": 8, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4}
CASES = {
    "deit": ("deit_tiny_patch16_224", TRANSFORMER, (24, 24)),
    "deit oblong": ("deit_tiny_patch16_224", TRANSFORMER, (24, 40)),
    "distilled": ("deit_tiny_distilled_patch16_224", TRANSFORMER, (24, 24)),
    "distilled oblong": ("deit_tiny_distilled_patch16_224", TRANSFORMER, (40, 24)),
    "swin": ("swin_tiny_patch4_window7_224", SWIN, (32, 32)),
    "swin oblong": ("swin_tiny_patch4_window7_224", SWIN, (32, 64)),
    "cait": ("cait_xxs24_224", {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}, (24, 24)),
    "mixer": ("mixer_s16_224", {}, (48, 48)),
    "convnext": ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (4, 4, 8, 8)}, (64, 96)),
    "resnet": ("resnet18", {}, (64, 96)),
}


@pytest.mark.parametrize("case", CASES)
def test_maps_at_the_stages_are_those_that_timm_gives_itself(case):
    name, shape, size = CASES[case]
    model = small(name, **shape, **({} if case in ("convnext", "resnet") else {"img_size": size}))
    inputs = images(*size, count=2)
    with torch.no_grad():
        expected = model.module.forward_intermediates(inputs, output_fmt="NCHW", intermediates_only=True)
    stages = [alias for alias in model.aliases if alias != "last_conv"]
    maps = ik.visualize(model, inputs, "feature_grid", layers=stages).maps
    assert len(stages) == len(expected)
    for stage, values in zip(stages, expected, strict=True):
        assert np.array_equal(maps[stage].values, values.numpy()), stage


@pytest.mark.parametrize(("case", "prefix"), [("deit oblong", 1), ("distilled", 2), ("distilled oblong", 2)])
def test_tokens_are_reshaped_by_hand_and_grad_cam_agrees_with_a_slow_derivation(case, prefix):
    name, shape, size = CASES[case]
    model, target = small(name, **shape, img_size=size), 1
    torch.nn.init.normal_(model.module.head.weight)
    inputs, (rows, columns) = images(*size), (size[0] // 8, size[1] // 8)
    assert model.aliases["last_conv"] == "blocks.2.norm1"
    seen = []
    norm = model.module.blocks[2].norm1
    handle = norm.register_forward_hook(lambda part, arguments, output: seen.append(output))
    (slope,) = torch.autograd.grad(model.module(inputs)[0, target], seen)
    handle.remove()
    tokens, slopes = seen[0].detach(), slope[0].double()
    by_hand = tokens[:, prefix:].reshape(1, rows, columns, 12).permute(0, 3, 1, 2)
    found = ik.visualize(model, inputs, "feature_grid", layers=["last_conv"]).maps["last_conv"].values
    np.testing.assert_allclose(found, by_hand.numpy(), rtol=1e-5, atol=1e-6)
    weights = slopes[prefix:].mean(0)
    expected = [
        [(weights * tokens[0, prefix + columns * y + x]).sum().item() for x in range(columns)] for y in range(rows)
    ]
    cam = ik.visualize(model, inputs, "grad_cam", layers=["last_conv"], target=target).maps["last_conv"].values[0]
    np.testing.assert_allclose(cam, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
    assert np.abs(cam).max() > 0


def test_tokens_that_are_in_no_order_of_rows_stay_tokens():
    hiera = blank(builder("hiera_tiny_224"))
    assert hiera.layouts == {}
    values = torch.zeros(1, 56 * 56, 96)
    (layer,) = hiera.find(["stage1"])
    assert hiera.arranged(layer, values, inputs=torch.zeros(1, 3, 224, 224)).values is values


@pytest.mark.parametrize(
    ("name", "strides"),
    [("resnet18", [2, 4, 8, 16, 32]), ("repvgg_b0", [2, 4, 8, 16, 32]), ("convnext_atto", [0, 4, 8, 16, 32])],
)
def test_stages_are_numbered_by_resolution(name, strides):
    model = blank(builder(name))
    shapes = {row.alias_of: row.shape for row in model.layers(size=(64, 64)) if row.alias_of}
    for number, stride in enumerate(strides):
        if stride:
            assert shapes[model.aliases[f"stage{number}"]][1:] == (64 // stride, 64 // stride)
    assert model.aliases["last_conv"] == model.aliases["stage4"]


def test_what_works_in_place_further_on_spoils_no_map():
    import timm.utils

    torch.manual_seed(0)
    repvgg = timm.create_model("repvgg_a0", num_classes=3).eval()
    fused = timm.utils.reparameterize_model(repvgg)
    convolutions = [name for name, _ in fused.named_modules() if name.endswith("reparam_conv")][:4]
    maps = ik.visualize(ik.wrap(fused), images(32, 32), "feature_grid", layers=convolutions).maps
    # Hooked without a copy, the ReLU after it would have cut off everything below zero.
    assert all(maps[name].values.min() < 0 for name in convolutions)
    resnet = ik.wrap(timm.create_model("resnet18", num_classes=3, zero_init_last=False).eval())
    seen = ik.visualize(resnet, images(32, 32), "feature_grid", layers=["bn1", "act1", "layer1.0.bn2"]).maps
    assert seen["bn1"].values.min() < 0
    assert np.array_equal(np.maximum(seen["bn1"].values, 0), seen["act1"].values)
    assert seen["layer1.0.bn2"].values.min() < 0


@pytest.mark.parametrize(("channels", "name"), [(1, "resnet18"), (3, "resnet18"), (3, "convnext_atto.d2_in1k")])
def test_preprocessing_is_timms(channels, name):
    import timm

    pixels = np.random.default_rng(0).integers(0, 256, (301, 257, 3), dtype=np.uint8)
    model = blank(builder(name, in_channels=channels))
    image = Image.fromarray(pixels)
    found = model.preprocessing(image)
    if channels == 1:
        assert found.shape == (1, 224, 224)
        return
    config = timm.data.resolve_model_data_config(model.module)
    torch.testing.assert_close(found, timm.data.create_transform(**config)(image), rtol=0, atol=1e-6)


def test_preprocessing_that_does_more_is_timms_own_transform():
    # It squashes images that are not square.
    model = blank(builder("dm_nfnet_f0"))
    assert not isinstance(model.preprocessing, ik.Preprocessing)
    assert model.preprocessing(Image.new("RGB", (300, 200))).shape == (3, 192, 192)


def test_weights_under_older_names_are_translated_by_timm_and_others_refused():
    model = small("swin_tiny_patch4_window7_224")
    state = dict(model.module.state_dict())
    old = {"layers.0.blocks.1.attn_mask": torch.zeros(64, 49, 49)}
    for name, value in state.items():
        _, number, rest = [*name.split(".", 2), "", ""][:3]
        merging = name.startswith("layers.") and rest.startswith("downsample.")
        old[f"layers.{int(number) - 1}.{rest}" if merging else name.replace("head.fc.", "head.")] = value
    assert old.keys() != state.keys()
    built = builder("swin_tiny_patch4_window7_224", num_classes=4).build(old).module.state_dict()
    assert all(torch.equal(built[name], state[name]) for name in state)
    with pytest.raises(WeightsError, match="do not fit"):
        builder("swin_tiny_patch4_window7_224", num_classes=4).build({"conv.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="of another shape"):
        builder("swin_tiny_patch4_window7_224", num_classes=5).build(state)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("resnet_50", "did you mean 'resnet50'"), ("resnet50.a1_in2k", "did you mean 'resnet50.a1_in1k'")],
)
def test_an_unknown_name_gets_the_nearest(name, hint):
    with pytest.raises(RecipeError, match="timm has no model") as caught:
        blank(builder(name))
    assert hint in str(caught.value)


def test_without_timm_the_plugin_is_listed_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "model timm" in plugins_text(discover())
    with pytest.raises(PluginError, match=r"pip install interpretkit\[timm\]"):
        ik.load_model("timm", name="resnet18")


def test_classes_have_names_unless_their_number_is_another():
    assert blank(builder("resnet18")).classes[:2] == ("tench", "goldfish")
    assert blank(builder("resnet18", num_classes=2)).classes == ()


def test_the_class_token_is_a_target_of_its_own():
    model = vit(num_classes=0)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    found = ik.visualize(model, images, "grad_cam", layers=["stage1"], target="class_token")
    net = model.module
    tokens = net.blocks[0](net.norm_pre(net._pos_embed(net.patch_embed(images)))).detach().requires_grad_()
    after = tokens
    for block in net.blocks[1:]:
        after = block(after)
    norms = after[:, 0].norm(dim=1)
    (gradient,) = torch.autograd.grad(norms.sum(), tokens)
    grid = (tokens * gradient[:, 1:].mean(1, keepdim=True))[:, 1:].sum(2).reshape(2, 2, 2)
    torch.testing.assert_close(torch.from_numpy(found.maps["stage1"].values), grid.detach())
    assert [target.score for target in found.targets] == pytest.approx(norms.tolist())
    assert [str(target) for target in found.targets] == [f"class token (norm {norm:.4g})" for norm in norms.tolist()]
    (first, _) = ik.draw(found)
    assert "class token (norm" in first.alt


def test_a_network_that_is_not_read_through_a_class_token_says_so():
    images = torch.zeros(1, 3, 32, 32)
    with pytest.raises(ik.InputError, match="is not read through a class token"):
        ik.visualize(vit(global_pool="avg"), images, "grad_cam", layers=["stage1"], target="class_token")


def vit(**settings):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=3, **settings).eval()
    outputs = {"classes": ik.Classes()}
    if token := class_token_of(net):
        outputs["class_token"] = ik.Vector(name="class token", layer=token, token=0)
    return ik.Model(module=net, name="vit", aliases=aliases_of(net), layouts=layouts_of(net), outputs=outputs)


@pytest.mark.parametrize(
    ("name", "layer", "grid"),
    [
        ("hrnet_w18_small", "final_layer", (7, 7)),
        ("efficientvim_m1", "norm.3", (4, 4)),
        ("pit_ti_224", "transformers.2.blocks.3.norm1", (7, 7)),
        ("tnt_s_legacy_patch16_224", "blocks.11.norm_out", (14, 14)),
        ("tf_efficientnet_lite0", "bn2", (7, 7)),
    ],
)
def test_the_last_layer_with_a_grid_is_one_that_can_be_used(name, layer, grid):
    model = ik.load_model("timm", name=name, device="cpu", num_classes=5)
    assert model.aliases["last_conv"] == layer
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    found = ik.visualize(model, image, "grad_cam", layers=["last_conv"], target=1).maps["last_conv"].values
    kept = []
    handle = model.module.get_submodule(layer).register_forward_hook(lambda _m, _a, output: kept.append(output))
    (gradient,) = torch.autograd.grad(model.module(image)[0, 1], kept)
    handle.remove()
    values = kept[0].detach()
    if values.ndim == 3:
        values, gradient = (each[:, 1:].transpose(1, 2).reshape(1, -1, *grid) for each in (values, gradient))
    expected = (gradient.mean((2, 3), keepdim=True) * values).sum(1)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["coat_tiny", "crossvit_9_240", "hiera_tiny_224"])
def test_a_family_without_such_a_layer_offers_none(name):
    assert "last_conv" not in ik.load_model("timm", name=name, device="cpu").aliases


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_without_classes_a_network_returns_an_embedding(name):
    model = ik.load_model("timm", name=name, num_classes=0, device="cpu")
    assert model.outputs_in_words == {"embedding": "embedding"}
    image = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    found = ik.visualize(model, image, "saliency")
    with torch.no_grad():
        lengths = model.module.eval()(image).norm(dim=1)
    assert [target.score for target in found.targets] == pytest.approx(lengths.tolist(), rel=1e-4)
    other = ik.visualize(model, image, "saliency", target={"like": model.module(image[:1])[0].tolist()})
    assert other.targets[0].score == pytest.approx(1, abs=1e-5)


FUSED = ["mobileone_s0", "fastvit_t8", "repvit_m0_9", "repghostnet_050", "repvgg_a0"]


@pytest.fixture
def trained():
    """A network of timm with statistics as training leaves them, for all of its branches differ then."""

    def of(name, **options):
        timm = pytest.importorskip("timm")
        torch.manual_seed(0)
        network = timm.create_model(name, num_classes=4, **options).eval()
        for key, buffer in network.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(std=0.1)
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
        return network

    return of


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("fused", [False, True], ids=["of the training form", "fused by timm"])
def test_the_form_for_deployment_is_the_same_function_from_weights_of_either_form(trained, tmp_path, name, fused):
    from timm.utils.model import reparameterize_model

    network = trained(name)
    by_timm = reparameterize_model(network)
    state = (by_timm if fused else network).state_dict()
    torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}}, tmp_path / "a.pth")
    weights = {"path": str(tmp_path / "a.pth")}
    model = ik.load_model("timm", name=name, num_classes=4, form="deploy", weights=weights, device="cpu")
    assert model.notes == ("reparameterized",)
    assert model.module.state_dict().keys() == by_timm.state_dict().keys()
    image = images(64, 64).double()
    with torch.no_grad():
        expected = network.double()(image)
        found = model.module.double()(image)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(found, by_timm.double()(image))
    if fused:
        with pytest.raises(WeightsError, match=f"the weights are fused, and {name} is built with") as caught:
            ik.load_model("timm", name=name, num_classes=4, weights=weights)
        assert caught.value.hint == "set form: deploy"


def test_a_seed_gives_the_same_function_in_both_forms_and_nothing_to_fuse_is_refused():
    one, other = (ik.load_model("timm", name="mobileone_s0", form=form, device="cpu") for form in ("train", "deploy"))
    image = images(64, 64).double()
    with torch.no_grad():
        expected, found = one.module.double()(image), other.module.double()(image)
    # Its scores are large, and what is rounded in a fused kernel is a share of the largest.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    with pytest.raises(RecipeError, match="resnet18 has no branches to be fused"):
        blank(builder("resnet18", form="deploy"))
    assert blank(builder("fastvit_t8", form="deploy")).aliases.keys() == blank(builder("fastvit_t8")).aliases.keys()


@pytest.mark.parametrize("name", ["resnet18", "deit_tiny_distilled_patch16_224", "repvit_m0_9"])
def test_without_a_head_weights_of_one_are_left_out_and_said(trained, tmp_path, name):
    network = trained(name)
    torch.save(network.state_dict(), tmp_path / "a.pth")
    model = ik.load_model("timm", name=name, num_classes=0, weights={"path": str(tmp_path / "a.pth")}, device="cpu")
    dropped = network.state_dict().keys() - model.module.state_dict().keys()
    assert set(model.weights.left_out) == dropped != set()
    network.reset_classifier(0)
    with torch.no_grad():
        assert torch.equal(model.module(images(224, 224)), network.eval()(images(224, 224)))


def test_without_a_head_there_are_no_names():
    with pytest.raises(ik.RecipeError, match=r"the network has no head \(num_classes: 0\)"):
        blank(builder("resnet18", num_classes=0, names=["cat"]))
