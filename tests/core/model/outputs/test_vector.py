from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interpretkit as ik

IMAGES = torch.arange(8.0).view(2, 1, 2, 2)


def test_an_output_of_a_layer_is_explained_from_that_layer():
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 3, bias=False), nn.ReLU())
    outputs = {"rest": ik.Classes(), "norm": ik.Vector(layer="2")}
    model = ik.wrap(net.eval(), output=outputs)
    found = ik.visualize(model, IMAGES, "saliency", target="norm")
    leaf = IMAGES.clone().requires_grad_()
    norms = net[:3](leaf).norm(dim=1)
    (gradient,) = torch.autograd.grad(norms.sum(), leaf)
    torch.testing.assert_close(torch.from_numpy(found.maps["input"].values), gradient[:, 0].abs())
    assert [each.spec for each in found.targets] == ["norm", "norm"]


def test_passes_of_its_own_explain_an_output_of_a_layer():
    net = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 3, bias=False), nn.ReLU(inplace=True)
    )
    model = ik.wrap(net.eval(), output={"rest": ik.Classes(), "norm": ik.Vector(layer="2")})
    found = ik.visualize(model, IMAGES, "occlusion", target="norm", window=1, stride=1)
    drops = torch.zeros(2, 2, 2)
    with torch.no_grad():
        for row, column in [(0, 0), (0, 1), (1, 0), (1, 1)]:
            without = IMAGES.clone()
            without[:, :, row, column] = 0
            drops[:, row, column] = net[:3](IMAGES).norm(dim=1) - net[:3](without).norm(dim=1)
    torch.testing.assert_close(torch.from_numpy(found.maps["input"].values), drops)


def test_what_replaces_the_layer_that_an_output_is_read_at_counts():
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU())
    model = ik.wrap(net.eval(), output=ik.Classes(layer="0", returns="logits"))
    with torch.no_grad():
        values = net[0](IMAGES)[:1, :, :1, :1]
        target = ik.Target(spec=0, label="0", score=float(values[0, 0]))
        image = IMAGES[:1, :, :1, :1]
        variants = torch.stack([values[0], 5 * values[0]])
        scores = model.scores_with(image, target, layer="0", variants=variants)
    torch.testing.assert_close(scores, torch.tensor([1.0, 5.0]) * values[0, 0, 0, 0])


class Embedder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, images):
        return {"image_embeds": self.body(images).relu().mean((2, 3)), "hidden": None}


def embedder(**more):
    return ik.wrap(Embedder().eval(), output=ik.Vector(name="embedding"), **more)


def cosine(vectors, other):
    return torch.nn.functional.cosine_similarity(vectors, other[None], dim=1)


def test_the_length_of_an_embedding_is_its_target():
    images = torch.rand(2, 3, 8, 8)
    found = ik.visualize(embedder(), images, "saliency")
    lengths = Embedder()(images)["image_embeds"].norm(dim=1).tolist()
    assert [each.score for each in found.targets] == pytest.approx(lengths)
    assert str(found.targets[0]) == f"embedding (norm {lengths[0]:.4g})"


def test_similarity_to_a_given_vector_is_the_cosine():
    images, other = torch.rand(2, 3, 8, 8), torch.tensor([1.0, -2.0, 0.5, 3.0])
    found = ik.visualize(embedder(), images, "saliency", target={"like": other})
    leaf = images.clone().requires_grad_()
    scores = cosine(Embedder()(leaf)["image_embeds"], other)
    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    torch.testing.assert_close(torch.from_numpy(found.maps["input"].values), gradient.abs().amax(1))
    assert [each.score for each in found.targets] == pytest.approx(scores.tolist())
    assert found.targets[0].quantity == "cosine"


def photo(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def test_similarity_to_another_image_is_the_cosine_of_both_vectors(tmp_path):
    model = embedder(transform=ik.Preprocessing(resize=None, crop=None))
    first, second = photo(tmp_path / "a.png", 0), photo(tmp_path / "b.png", 1)
    found = ik.visualize(model, [first, second], "saliency", target={"like": second})
    assert [each.score for each in found.targets][1] == pytest.approx(1.0)
    assert found.targets[0].spec == {"like": second}
    with torch.no_grad():
        fed = torch.stack([model.preprocessing(Image.open(path)) for path in (first, second)])
        vectors = model.module(fed)["image_embeds"]
    assert found.targets[0].score == pytest.approx(float(cosine(vectors[:1], vectors[1])))
    np.save(tmp_path / "v.npy", vectors[1].numpy())
    again = ik.visualize(model, [first], "occlusion", target={"like": str(tmp_path / "v.npy")}, window=8, stride=8)
    assert again.targets[0].score == pytest.approx(found.targets[0].score)
    step = {"id": "map", "uses": "saliency", "with": {"target": {"like": second}}}
    recipe = {"schema": "interpretkit/1", "name": "a", "steps": [step], "inputs": [first]}
    run = ik.run(recipe, model=model, output=tmp_path)
    assert run.results["map"].targets[0].score == pytest.approx(found.targets[0].score)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ([1.0, 2.0], "has 4 numbers, and the one it is compared with 2"),
        ([0.0] * 4, "no direction"),
        ("missing.png", "missing.png"),
        ("missing.npy", "missing.npy: cannot be read as a vector"),
    ],
)
def test_what_is_no_vector_to_compare_with_is_refused(like, message):
    with pytest.raises(ik.InterpretkitError, match=message):
        ik.visualize(embedder(), torch.rand(1, 3, 8, 8), "saliency", target={"like": like})


def test_a_class_of_a_vector_is_refused():
    with pytest.raises(ik.InputError, match="has no target 3"):
        ik.visualize(embedder(), torch.rand(1, 3, 8, 8), "saliency", target=3)


class Normalised(Embedder):
    def forward(self, images):
        vectors = super().forward(images)["image_embeds"]
        return nn.functional.layer_norm(vectors, (4,), eps=0) if self.layer_norm else nn.functional.normalize(vectors)

    layer_norm = False


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_norm_of_a_normalised_vector_is_said_to_explain_nothing(tmp_path, layer_norm):
    net = Normalised().eval()
    net.layer_norm = layer_norm
    model = ik.wrap(net, output=ik.Vector())
    recipe = {"schema": "interpretkit/1", "name": "a", "steps": [{"id": "map", "uses": "saliency"}]}
    said = []
    images = torch.rand(2, 3, 8, 8)
    run = ik.run(recipe, model=model, images=images, output=tmp_path, listen=lambda event: said.append(event.text))
    targets = run.results["map"].targets
    assert [target.score for target in targets] == pytest.approx([2.0 if layer_norm else 1.0] * 2)
    assert all("saturated" in str(target) for target in targets)
    assert any("as of any normalised vector, so there is nothing to explain" in text for text in said)
    vector = net(images[:1])[0].tolist()
    like = ik.visualize(model, images, "saliency", target={"like": vector})
    assert [target.saturated for target in like.targets] == [True, False]


def test_a_target_holds_the_path_of_an_image_and_no_image(tmp_path):
    model = embedder(transform=ik.Preprocessing(resize=None, crop=None))
    path = tmp_path / "a.png"
    name = photo(path, 0)
    found = ik.visualize(model, [name], "saliency", target={"like": path})
    assert found.targets[0].spec == {"like": name}
    assert found.targets[0].score == pytest.approx(1.0)
    with Image.open(path) as image, pytest.raises(ik.RecipeError, match="give its path, or its vector"):
        ik.visualize(model, [name], "saliency", target={"like": image})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_normalised_vector_is_known_in_any_precision_and_one_of_nearly_that_norm_is_not(dtype):
    torch.manual_seed(0)
    unit = nn.functional.normalize(torch.randn(1, 768, dtype=torch.float64)).to(dtype)
    (normalised,) = ik.Vector().targets(None, unit, [None])
    (longer,) = ik.Vector().targets(None, unit * 1.0625, [None])
    assert (normalised.saturated, longer.saturated) == (True, False)


@pytest.mark.parametrize("vector", [[float("nan"), 1.0], [float("inf"), 1.0]])
def test_a_vector_of_no_finite_numbers_is_nothing_to_compare_with(vector):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    model = ik.wrap(net, output=ik.Vector())
    with pytest.raises(ik.RecipeError, match="a vector to compare with is finite"):
        ik.visualize(model, torch.rand(1, 3, 8, 8), "saliency", target={"like": vector})


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_of_a_list_each_image_has_its_own_target_a_norm_or_a_cosine(order, method):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    other = torch.tensor([1.0, 2.0, -3.0, 0.5])
    listed = [{"like": other.tolist()}, "predicted"]
    options = {"window": 3, "stride": 3} if method == "occlusion" else {}
    model = ik.wrap(net, output=ik.Vector())
    found = ik.visualize(model, images, method, target=[listed[each] for each in order], **options)
    with torch.no_grad():
        vectors = net(images)
    scores = [torch.cosine_similarity(vectors, other[None]), vectors.norm(dim=1)]
    expected = [float(scores[kind][image]) for image, kind in enumerate(order)]
    assert [target.score for target in found.targets] == pytest.approx(expected, rel=1e-5)
    assert [target.quantity for target in found.targets] == [("cosine", "norm")[kind] for kind in order]
    for image, kind in enumerate(order):
        alone = ik.visualize(model, images[image : image + 1], method, target=listed[kind], **options).maps["input"]
        np.testing.assert_allclose(found.maps["input"].values[image], alone.values[0], rtol=1e-4, atol=1e-6)


class Complex(nn.Module):
    def forward(self, values):
        return torch.complex(values, values)


@pytest.mark.parametrize("kind", [ik.Vector, ik.Values, ik.Labels, ik.Classes, ik.Pixels, ik.PixelValues])
def test_complex_numbers_are_no_scores(kind):
    pooled = nn.Identity() if kind in (ik.Pixels, ik.PixelValues) else nn.AdaptiveAvgPool2d(1)
    net = nn.Sequential(nn.Conv2d(3, 1, 1), pooled, Complex()).eval()
    with pytest.raises(ik.StepError, match=r"complex64 numbers .*have no order.*absolute values"):
        ik.visualize(ik.wrap(net, output=kind()), torch.rand(1, 3, 4, 4), "saliency")
