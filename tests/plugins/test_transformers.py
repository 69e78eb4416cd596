"""Networks of transformers, tiny by configuration and of random weights, against what the library returns itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

import interpretkit as ik
from interpretkit.model.weights.load import blank
from interpretkit_transformers.builder import TransformersBuilder

transformers = pytest.importorskip("transformers")

VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
SEGFORMER = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "sr_ratios": [2, 1],
    "hidden_sizes": [8, 16],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2],
    "decoder_hidden_size": 16,
}
CLASSIFIERS = {
    "vit": VIT,
    "beit": VIT,
    "dinov2": VIT,
    "swin": SWIN,
    "swinv2": SWIN,
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
}


def load(architecture, config, **more):
    return ik.load_model("transformers", architecture=architecture, config=config, device="cpu", **more)


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))


@pytest.mark.parametrize("architecture", CLASSIFIERS)
def test_grad_cam_of_a_classifier_is_that_of_a_slow_derivation(architecture, photo):
    model = load(architecture, CLASSIFIERS[architecture], num_classes=4)
    assert {"stage1", "stage2", "last_conv"} == set(model.aliases)
    fed = model.preprocessing(photo)[None]
    kept = []
    layer = model.module.get_submodule(model.aliases["last_conv"])
    handle = layer.register_forward_hook(
        lambda _m, _a, output: kept.append(output if isinstance(output, torch.Tensor) else output[0])
    )
    logits = model.module.eval()(fed).logits
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[0, 2], kept[0])
    values, slopes = kept[0].detach(), gradient
    if values.ndim == 3:
        # Tokens: channels last, the class token, if any, first.
        side = int(values.shape[1] ** 0.5)
        values, slopes = (
            each[:, each.shape[1] - side**2 :].transpose(1, 2).reshape(1, -1, side, side) for each in (values, slopes)
        )
    expected = (slopes.mean((2, 3), keepdim=True) * values).sum(1)
    found = ik.visualize(model, [photo], "grad_cam", layers=["last_conv"], target=2)
    cam = torch.from_numpy(found.maps["last_conv"].values)
    assert cam.abs().max() > 0
    torch.testing.assert_close(cam / cam.abs().max(), expected / cam.abs().max(), rtol=1e-3, atol=1e-4)
    assert found.targets[0].score == pytest.approx(float(logits[0, 2].detach()), rel=1e-4)


def test_tokens_of_every_layer_are_the_hidden_states(photo):
    model = load("vit", VIT, num_classes=4)
    fed = model.preprocessing(photo)[None]
    with torch.no_grad():
        hidden = model.module.eval()(fed, output_hidden_states=True).hidden_states
    maps = ik.visualize(model, [photo], "feature_grid", layers=["stage1", "stage2"]).maps
    for name, states in zip(("stage1", "stage2"), hidden[1:], strict=True):
        expected = states[0, 1:].T.reshape(32, 4, 4)
        np.testing.assert_allclose(maps[name].values[0], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_the_processor_is_the_preprocessing_and_its_normalisation_is_undone_in_pictures(photo):
    model = load("vit", VIT, num_classes=4)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    expected = processor(photo, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(model.preprocessing(photo), expected)
    (image,) = ik.visualize(model, [photo], "saliency").images
    between = ((expected * 0.5 + 0.5) * 255).round().byte().permute(1, 2, 0)
    np.testing.assert_array_equal(image.pixels, between.numpy())


def test_a_compiled_network_is_explained_in_five_lines(photo):
    torch.manual_seed(0)
    net = transformers.ViTForImageClassification(transformers.ViTConfig(**VIT, num_labels=3)).eval()
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    compiled = ik.wrap(torch.compile(net, backend="eager"), transform=processor, classes=["cat", "dog", "owl"])
    plain = ik.wrap(net, transform=processor, classes=["cat", "dog", "owl"])
    layer = "vit.layers.1.layernorm_before"
    asked = {"layers": [layer], "target": "dog"}
    found, expected = (ik.visualize(each, [photo], "grad_cam", **asked) for each in (compiled, plain))
    np.testing.assert_allclose(found.maps[layer].values, expected.maps[layer].values, rtol=1e-5, atol=1e-8)
    logits = net(processor(photo, return_tensors="pt")["pixel_values"]).logits[0].double()
    assert found.targets[0].probability == pytest.approx(float(logits.softmax(0)[1].detach()), rel=1e-5)


def test_a_segmenter_is_explained_by_the_logits_of_its_pixels(photo):
    names = ["road", "car", "sky"]
    model = load("segformer", SEGFORMER, task="segmentation", num_classes=3, names=names)
    found = ik.visualize(model, [photo], "grad_cam", layers=["last_conv"])
    with torch.no_grad():
        logits = model.module.eval()(model.preprocessing(photo)[None]).logits[0]
    target = found.targets[0]
    counts = logits.argmax(0).flatten().bincount(minlength=3)
    assert target.label == names[int(counts.argmax())]
    inside = logits.argmax(0) == counts.argmax()
    assert target.score == pytest.approx(float(logits[int(counts.argmax())][inside].double().sum()), rel=1e-3)


def test_an_embedding_of_clip_is_compared_with_another_image(photo, tmp_path):
    model = load("clip_vision_model", {**VIT, "projection_dim": 16})
    other = photo.rotate(90)
    other.save(tmp_path / "other.png")
    found = ik.visualize(model, [photo], "saliency", target={"like": str(tmp_path / "other.png")})
    with torch.no_grad():
        embeddings = [model.module.eval()(model.preprocessing(each)[None]).image_embeds for each in (photo, other)]
    cosine = torch.nn.functional.cosine_similarity(*(each.double() for each in embeddings)).item()
    assert found.targets[0].score == pytest.approx(cosine, rel=1e-4)


def test_the_tower_of_images_is_taken_of_a_network_of_images_and_texts():
    vision, text = dict(VIT), {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
    model = load("clip", {"vision_config": vision, "text_config": text, "projection_dim": 12}, task="vision")
    assert type(model.module).__name__ == "CLIPVisionModelWithProjection"
    assert model.module.visual_projection.out_features == 12


def saved(folder, **more):
    torch.manual_seed(1)
    names = dict(enumerate(["healthy", "ill", "unclear"]))
    config = transformers.ViTConfig(**VIT, id2label=names, label2id={name: k for k, name in names.items()}, **more)
    net = transformers.ViTForImageClassification(config).eval()
    net.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.1] * 3).save_pretrained(folder)
    return net


def test_a_folder_brings_its_configuration_classes_processor_and_weights(tmp_path, photo):
    net = saved(tmp_path / "net")
    weights = {"path": str(tmp_path / "net/model.safetensors")}
    model = ik.load_model("transformers", name=str(tmp_path / "net"), weights=weights, device="cpu")
    assert model.classes == ("healthy", "ill", "unclear")
    fed = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.1] * 3)(photo)
    found = ik.visualize(model, [photo], "grad_cam", layers=["last_conv"], target="ill")
    with torch.no_grad():
        score = net(fed["pixel_values"][0][None]).logits[0, 1].item()
    assert found.targets[0].score == pytest.approx(score, rel=1e-4)


def test_weights_under_earlier_names_fit_and_others_are_refused_by_name(tmp_path):
    net = saved(tmp_path / "net")
    builder = TransformersBuilder(TransformersBuilder.Options(name=str(tmp_path / "net")))
    state = dict(net.state_dict())
    earlier = {key.replace("vit.layers.", "vit.encoder.layer."): tensor for key, tensor in state.items()}
    earlier = {key: tensor for key, tensor in earlier.items() if "vit.encoder.layer" not in key or "norm" in key}
    rest = {key: tensor for key, tensor in state.items() if "vit.layers" not in key or "norm" not in key}
    built = builder.build({**rest, **earlier}).module
    for key, tensor in built.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    del state["classifier.bias"]
    with pytest.raises(ik.WeightsError, match=r"do not fit: 1 missing \('classifier\.bias' 3\)"):
        builder.build(state)
    state["classifier.bias"], state["more"] = torch.zeros(3), torch.zeros(1)
    with pytest.raises(ik.WeightsError, match=r"do not fit: 1 unexpected \('more' 1\)"):
        builder.build(state)
    del state["more"]
    with pytest.raises(ik.WeightsError, match=r"do not fit: \d+ missing"):
        builder.build({})
    with pytest.raises(ik.WeightsError, match="have other shapes than the network"):
        builder.build({**state, "classifier.weight": torch.zeros(7, 32)})


def test_a_missing_head_stays_random_and_is_said_where_the_recipe_allows_it(tmp_path):
    net = saved(tmp_path / "net")
    state = {name: each for name, each in net.state_dict().items() if not name.startswith("classifier")}
    torch.save({"state_dict": state | {"loss.weight": torch.ones(2)}}, tmp_path / "last.pth")
    weights = {"path": str(tmp_path / "last.pth"), "strict": False}
    name = str(tmp_path / "net")
    first, again, other = (
        ik.load_model("transformers", name=name, weights=weights, seed=seed, device="cpu") for seed in (0, 0, 1)
    )
    assert set(first.weights.missing) == {"classifier.weight", "classifier.bias"}
    assert first.weights.left_out == ("loss.weight",)
    assert first.alert.startswith("PARTLY RANDOM WEIGHTS: 2 tensors not in the file (classifier.")
    for name, tensor in state.items():
        assert torch.equal(first.module.state_dict()[name], tensor), name
    heads = [each.module.classifier.weight for each in (first, again, other)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ik.RecipeError, "takes a name or an architecture"),
        ({"name": "a/b", "architecture": "vit"}, ik.RecipeError, "takes a name or an architecture"),
        ({"architecture": "vitt"}, ik.RecipeError, r"no architecture 'vitt' \(did you mean 'vit"),
        ({"architecture": "bert"}, ik.RecipeError, "no bert for classification"),
        ({"name": "no/such/folder"}, ik.WeightsError, "configuration of no/such/folder cannot be had"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(options, error, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(error, match=message) as caught:
        blank(TransformersBuilder(TransformersBuilder.Options(**options)))
    assert "\n" not in str(caught.value)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ik.PluginError, match=r"pip install interpretkit\[transformers\]"):
        blank(TransformersBuilder(TransformersBuilder.Options(architecture="vit")))


def test_layers_are_listed_without_memory_for_weights():
    model = blank(TransformersBuilder(TransformersBuilder.Options(architecture="vit")))
    assert next(model.module.parameters()).device.type == "meta"
    rows = model.layers("stage1", "last_conv")
    assert [row.shape for row in rows] == [(197, 768), (197, 768)]
