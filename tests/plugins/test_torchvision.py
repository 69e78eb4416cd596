from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

import interpretkit as ik
from interpretkit import RecipeError, WeightsError
from interpretkit.capture.addresses import Address
from interpretkit.capture.capture import Capture
from interpretkit.model.weights.load import blank
from interpretkit_torchvision.builder import TorchvisionBuilder, _current
from interpretkit_torchvision.stages import aliases_of, layouts_of

# Following the image through all of them would take half a minute.
ONE_OF_EACH = {models.get_model_builder(name).__module__: name for name in models.list_models(models)}.values()


def builder(name, **options):
    return TorchvisionBuilder(TorchvisionBuilder.Options(name=name, **options))


@pytest.mark.parametrize("name", ["resnet18", "mnasnet0_5", "vit_b_16"])
def test_the_published_file_is_torchvisions_with_the_hash_in_its_name(name):
    published = builder(name).published("DEFAULT")
    weights = models.get_model_weights(name).DEFAULT
    assert published.url == weights.url
    assert len(published.sha256) >= 8
    assert weights.url.endswith(f"-{published.sha256}.pth")


def test_weights_are_published_with_the_preprocessing_that_they_are_made_for():
    with pytest.raises(RecipeError, match=r"not made for the preprocessing of IMAGENET1K_V2.*IMAGENET1K_V1` under"):
        builder("resnet50").published("IMAGENET1K_V1")
    older = builder("resnet50", preprocessing="IMAGENET1K_V1")
    assert older.published("IMAGENET1K_V1").url == models.ResNet50_Weights.IMAGENET1K_V1.url
    assert blank(older).preprocessing.resize == models.ResNet50_Weights.IMAGENET1K_V1.transforms().resize_size[0]
    assert blank(builder("vit_b_16", preprocessing="IMAGENET1K_SWAG_E2E_V1")).module.image_size == 384


@pytest.mark.parametrize(("model", "name"), [("resnet18", "IMAGENET1K_V7"), ("vgg16", "IMAGENET1K_FEATURES")])
def test_weights_that_torchvision_does_not_publish_for_the_classifier_are_refused(model, name):
    with pytest.raises(RecipeError, match=f"no weights '{name}' for {model} .*IMAGENET1K_V1"):
        builder(model).published(name)


def images(height, width, count=1):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def model_of(network):
    return ik.Model(module=network.eval(), aliases=aliases_of(network), layouts=layouts_of(network))


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    shape = {"num_layers": 3, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 24, "num_classes": 5}
    model = model_of(models.VisionTransformer(image_size=24, patch_size=8, **shape))
    torch.nn.init.normal_(model.module.heads.head.weight)  # left as it is, it would be zero
    return model


@pytest.fixture(scope="module")
def swin():
    torch.manual_seed(0)
    shape = {"embed_dim": 8, "depths": [2, 2], "num_heads": [2, 4], "num_classes": 5}
    return model_of(models.SwinTransformer(patch_size=[4, 4], window_size=[4, 4], **shape))


@pytest.mark.parametrize("name", models.list_models(models))
def test_every_classifier_is_captured_at_its_stages_without_memory(name):
    model = blank(builder(name))
    side = model.preprocessing.crop
    addresses = {alias: Address(path) for alias, path in model.aliases.items()}
    with Capture(model.module, gradients=addresses.values()) as capture:
        capture.forward(torch.zeros(1, 3, side, side, device="meta"))
    assert capture.refused == {}
    shapes = {alias: tuple(capture.activations[address].shape[1:]) for alias, address in addresses.items()}
    if name in ONE_OF_EACH:
        rows = model.layers()
        assert {row.name: row.shape for row in rows if row.alias_of} == shapes
        assert rows[-1].shape in [(1000,), (1000, 1, 1)]
    stages = [shape for alias, shape in shapes.items() if alias != "last_conv"]
    if name.startswith("vit"):
        tokens = (side // model.module.patch_size) ** 2 + 1
        assert [shape[0] for shape in stages] == [tokens] * len(model.module.encoder.layers)
    else:
        grids = [shape[:2] if name.startswith("swin") else shape[1:] for shape in stages]
        # Convolutions without padding lose a row or two at every step.
        assert grids == [(pytest.approx(side / stride, rel=0.15),) * 2 for stride in strides_of(name)]
    assert list(addresses) == [f"stage{k}" for k in range(1, len(stages) + 1)] + ["last_conv"]
    assert len(model.classes) == 1000


def strides_of(name):
    """The strides of the stages of a family, by the start of its name."""
    few = {"alexnet": [4, 8, 16], "shufflenet": [], "squeezenet": [2, 4, 8, 16], "vgg": [1, 2, 4, 8, 16]}
    return next((strides for family, strides in few.items() if name.startswith(family)), [4, 8, 16, 32])


SMALL = ["resnet18", "mobilenet_v3_small", "regnet_y_400mf", "squeezenet1_1"]


@pytest.mark.parametrize("name", SMALL)
def test_feature_maps_and_grad_cam_at_the_aliases(name):
    model = ik.load_model("torchvision", name=name, num_classes=3, device="cpu")
    inputs = images(64, 64)
    layers = list(model.aliases)
    maps = ik.visualize(model, inputs, "feature_grid", layers=layers).maps
    with torch.no_grad():
        extracted = create_feature_extractor(model.module, return_nodes=extractable(model))(inputs)
    assert extracted
    for path, values in extracted.items():
        for layer in (layer for layer, of in model.aliases.items() if of == path):
            assert np.array_equal(maps[layer].values, values.numpy()), layer
    cam = ik.visualize(model, inputs, "grad_cam", layers=["last_conv"], target=0).maps["last_conv"].values
    assert cam.shape == (1, *maps["last_conv"].values.shape[2:])
    assert np.abs(cam).max() > 0


def extractable(model):
    """The aliased modules by their graph nodes; torchvision's extractor takes the last node inside a module."""
    from torchvision.models.feature_extraction import get_graph_node_names

    nodes = get_graph_node_names(model.module)[1]
    inside = {path: [node for node in nodes if f"{node}.".startswith(f"{path}.")] for path in model.aliases.values()}
    # What a later module overwrites in place is no oracle.
    return {found[-1]: path for path, found in inside.items() if found and not path.endswith("norm5")}


def test_tokens_of_a_vision_transformer_are_reshaped_by_hand(vit):
    inputs = images(24, 24)
    # The tracer counts: it calls ln_1 `ln`.
    nodes = {"encoder.layers.encoder_layer_1.add_1": "stage2", "encoder.layers.encoder_layer_2.ln": "last_conv"}
    with torch.no_grad():
        expected = create_feature_extractor(vit.module, return_nodes=nodes)(inputs)
    maps = ik.visualize(vit, inputs, "feature_grid", layers=["stage2", "last_conv", "encoder.ln"]).maps
    for layer, tokens in expected.items():
        by_hand = tokens[:, 1:].reshape(1, 3, 3, 16).permute(0, 3, 1, 2)
        np.testing.assert_allclose(maps[layer].values, by_hand.numpy(), rtol=1e-5, atol=1e-6, err_msg=layer)
    assert maps["encoder.ln"].values.shape == (1, 16, 3, 3)


def test_grad_cam_of_a_vision_transformer_agrees_with_a_slow_derivation(vit):
    inputs, target = images(24, 24), 3
    seen = []
    norm = vit.module.encoder.layers[-1].ln_1
    handle = norm.register_forward_hook(lambda part, arguments, output: seen.append(output))
    (slope,) = torch.autograd.grad(vit.module(inputs)[0, target], seen)
    handle.remove()
    tokens, slopes = seen[0][0].detach().double(), slope[0].double()
    expected = np.array([[(slopes[1:].mean(0) * tokens[1 + 3 * y + x]).sum() for x in range(3)] for y in range(3)])
    found = ik.visualize(vit, inputs, "grad_cam", layers=["last_conv", "stage3"], target=target).maps
    np.testing.assert_allclose(found["last_conv"].values[0], expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected).max() > 0
    # After the last attention the logits read the class token alone.
    assert not found["stage3"].values.any()


@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_maps_of_a_swin_transformer_have_their_channels_moved(swin, size):
    inputs = images(*size)
    nodes = {"features.1.1.add_1": "features.1", "features.3.1.add_1": "features.3", "permute": "norm"}
    with torch.no_grad():
        expected = create_feature_extractor(swin.module, return_nodes=nodes)(inputs)
    inner = ["features.0", "features.0.0", "features.3.0.norm1", "features.3.0.mlp.1", "features"]
    layers = ["features.1", "features.3", "norm", *inner]
    maps = {layer: m.values for layer, m in ik.visualize(swin, inputs, "feature_grid", layers=layers).maps.items()}
    height, width = (side // 4 for side in size)
    assert np.array_equal(maps["features.1"], np.moveaxis(expected["features.1"].numpy(), 3, 1))
    assert np.array_equal(maps["features.3"], np.moveaxis(expected["features.3"].numpy(), 3, 1))
    assert np.array_equal(maps["norm"], expected["norm"].numpy())
    assert maps["features.0"].shape == maps["features.0.0"].shape == (1, 8, height, width)
    assert maps["features.3.0.norm1"].shape == (1, 16, height // 2, width // 2)
    assert maps["features.3.0.mlp.1"].shape == (1, 64, height // 2, width // 2)
    # Before averaging and a linear layer, Grad-CAM adds up to the logit without its bias.
    cam = ik.visualize(swin, inputs, "grad_cam", layers=["norm"], target=2)
    bias = float(swin.module.head.bias[2].detach())
    assert float(cam.maps["norm"].values.sum()) + bias == pytest.approx(cam.targets[0].score, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", ["resnet50", "swin_t", "regnet_y_128gf", "vit_h_14", "mobilenet_v3_small"])
def test_preprocessing_is_that_of_the_published_weights(name):
    pixels = np.random.default_rng(0).integers(0, 256, (301, 457, 3), dtype=np.uint8)
    expected = models.get_model_weights(name).DEFAULT.transforms()(Image.fromarray(pixels))
    model = blank(builder(name))
    assert torch.equal(model.preprocessing(Image.fromarray(pixels)), expected)
    if name.startswith("vit"):
        assert model.module.image_size == expected.shape[-1]


@pytest.mark.parametrize("name", ["densenet121", "mnasnet0_5"])
def test_a_state_of_torchvisions_own_is_loaded(name):
    network = models.get_model(name, weights=None, num_classes=4)
    state = dict(network.state_dict())
    if name == "densenet121":  # the published file has the names of the first version
        state = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for key, value in state.items()}
        assert "features.denseblock1.denselayer1.norm.1.weight" in state
    loaded = builder(name, num_classes=4).build(state).module
    with torch.no_grad():
        assert torch.equal(loaded(images(64, 64)), network.eval()(images(64, 64)))


def test_published_names_of_vision_transformers_are_translated_as_torchvision_does():
    network = models.VisionTransformer(image_size=16, patch_size=8, num_layers=2, num_heads=2, hidden_dim=4, mlp_dim=8)
    state = network.state_dict()
    old = {key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): state[key] for key in state}
    assert len(old.keys() - state.keys()) == 8
    network.load_state_dict(old)  # a plain mapping without a version: torchvision takes the names for old ones
    assert {_current(key) for key in old} == set(state)


def test_a_state_of_something_else_is_refused():
    with pytest.raises(WeightsError, match="do not fit"):
        builder("resnet18").build({"conv1.weight": torch.zeros(64, 3, 7, 7)})


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(RecipeError, match=r"no network 'resnet51' \(did you mean 'resnet50'"):
        blank(builder("resnet51"))
    with pytest.raises(RecipeError, match="no network 'raft_large'"):
        blank(builder("raft_large"))


def test_classes_have_names_unless_their_number_is_another():
    assert blank(builder("resnet18")).classes[:2] == ("tench", "goldfish")
    assert blank(builder("resnet18", num_classes=2)).classes == ()


def test_a_vision_transformer_is_read_through_its_class_token():
    vit, resnet = (blank(TorchvisionBuilder(TorchvisionBuilder.Options(name=n))) for n in ("vit_b_32", "resnet18"))
    assert vit.outputs["class_token"].layer == "encoder.layers.encoder_layer_11"
    assert list(resnet.outputs) == ["classes"]


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", "fc"),
        ("vgg11", "classifier.6"),
        ("squeezenet1_1", "classifier.1"),
        ("vit_b_16", "heads.head"),
        ("googlenet", "fc"),
        ("mobilenet_v3_small", "classifier.3"),
    ],
)
def test_without_a_head_a_network_returns_what_the_head_was_given(name, head):
    model = ik.load_model("torchvision", name=name, num_classes=0, device="cpu")
    assert model.outputs_in_words["embedding"] == "embedding"
    whole = models.get_model(
        name, weights=None, num_classes=5, **({"init_weights": True} if name == "googlenet" else {})
    )
    kept = dict(whole.named_parameters()) | dict(whole.named_buffers())
    with torch.no_grad():
        for key, tensor in model.module.state_dict().items():
            kept[key].copy_(tensor)
    given = []
    whole.eval().get_submodule(head).register_forward_hook(lambda _m, taken, _o: given.append(taken[0]))
    image = images(224, 224)
    if name == "googlenet":
        whole.transform_input = True
    with torch.no_grad():
        whole(image)
        found = model.module(image)
    expected = given[0].relu().mean((2, 3)) if given[0].ndim == 4 else given[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", sorted({*ONE_OF_EACH, "r3d_18", "mvit_v1_b", "swin3d_t"}))
def test_every_family_can_go_without_its_head(name):
    network = blank(builder(name, num_classes=0)).module
    clip = (16,) if name in models.list_models(models.video) else ()
    size = 299 if name == "inception_v3" else 224
    with torch.device("meta"):
        embedding = network(torch.zeros(2, 3, *clip, size, size))
    assert embedding.ndim == 2
    assert embedding.shape[1] > 100


@pytest.mark.parametrize("whole", [True, False], ids=["with its head", "of the backbone alone"])
def test_weights_fit_a_network_without_a_head_and_what_there_is_of_one_is_left_out(tmp_path, whole):
    trained = models.resnet18(num_classes=4).eval()
    state = trained.state_dict()
    if not whole:
        del state["fc.weight"], state["fc.bias"]
    torch.save(state, tmp_path / "trained.pth")
    weights = {"path": str(tmp_path / "trained.pth")}
    model = ik.load_model("torchvision", name="resnet18", num_classes=0, weights=weights, device="cpu")
    assert model.weights.left_out == (("fc.weight", "fc.bias") if whole else ())
    trained.fc = torch.nn.Identity()
    with torch.no_grad():
        assert torch.equal(model.module(images(64, 64)), trained(images(64, 64)))
    with pytest.raises(ik.InputError, match=r"vector|embedding"):
        ik.visualize(model, images(64, 64), "grad_cam", layers=["layer4"], target=3)
    if not whole:
        with pytest.raises(WeightsError, match="2 missing") as caught:
            ik.load_model("torchvision", name="resnet18", num_classes=4, weights=weights)
        assert caught.value.hint.endswith("num_classes: 0 builds no head")


def test_what_has_no_head_has_no_names_and_only_classifiers_have_one():
    for options in ({"names": ["cat"]}, {"output": "labels"}):
        with pytest.raises(RecipeError, match=r"the network has no head \(num_classes: 0\)"):
            blank(builder("resnet18", num_classes=0, **options))
    for name in ("fcn_resnet50", "fasterrcnn_resnet50_fpn"):
        with pytest.raises(RecipeError, match="without a head it returns nothing"):
            blank(builder(name, num_classes=0))
