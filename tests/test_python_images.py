"""Images as training code has them: loaders, data sets, arrays, processors, augmentations."""

from __future__ import annotations

import weakref

import albumentations
import numpy as np
import pytest
import torch
from albumentations.pytorch import ToTensorV2
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import to_tensor
from transformers import ViTImageProcessorPil

import interpretkit as ik

IMAGES = torch.rand(7, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([3, 0, 4, 1, 2, 2, 0])

RECIPE = {
    "schema": "interpretkit/1",
    "name": "given",
    "steps": [{"id": "cam", "uses": "grad_cam", "with": {"layers": ["0"], "target": "label"}}],
}


class Streamed(IterableDataset):
    def __iter__(self):
        return zip(IMAGES, LABELS, strict=True)


class Broken(Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        if index == 2:
            raise OSError("the disk is gone")
        return IMAGES[index % 7], int(LABELS[index % 7])


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


@pytest.fixture(scope="module")
def expected(net):
    """The Grad-CAM of each image for its label, by hand in float64."""
    maps = []
    double = nn.Sequential(*net).double()
    for image, label in zip(IMAGES.double(), LABELS, strict=True):
        features = double[0](image[None]).detach().requires_grad_()
        (slopes,) = torch.autograd.grad(double[1:](features)[0, label], features)
        maps.append((slopes.mean((2, 3), keepdim=True) * features).sum(1)[0].detach().numpy())
    net.float()
    return np.stack(maps)


@pytest.mark.parametrize(("drawn", "batch_size"), [(1, 3), (4, 3), (4, 16), (None, 1), (None, 16)])
@pytest.mark.parametrize("images", [TensorDataset(IMAGES, LABELS), Streamed()], ids=["numbered", "streamed"])
def test_a_loader_gives_the_maps_of_its_images_for_their_labels(net, expected, *, images, drawn, batch_size):
    loader = DataLoader(images, batch_size=drawn)
    found = ik.visualize(net, loader, "grad_cam", layers=["0"], target="label", batch_size=batch_size)
    np.testing.assert_allclose(found.maps["0"].values, expected, atol=1e-6)
    assert [image.label for image in found.images] == LABELS.tolist()


def test_a_whole_number_of_a_data_set_is_an_index_also_where_classes_are_called_by_numbers(net):
    model = ik.wrap(net, classes=["1", "2", "3", "4", "5"])
    pairs = list(zip(IMAGES, [0, 1, 2, 3, 4], strict=False))
    found = ik.visualize(model, pairs, "grad_cam", layers=["0"], target="label")
    assert [target.index for target in found.targets] == [0, 1, 2, 3, 4]
    named = [(image, str(label + 1)) for image, label in pairs]
    found = ik.visualize(model, named, "grad_cam", layers=["0"], target="label")
    assert [target.index for target in found.targets] == [0, 1, 2, 3, 4]


def test_a_run_of_a_loader_is_sealed_and_knows_the_labels(net, expected, tmp_path):
    run = ik.run(RECIPE, model=net, images=DataLoader(Streamed(), batch_size=3), output=tmp_path)
    assert run.status == "complete"
    np.testing.assert_allclose(run.results["cam"].maps["0"].values, expected, atol=1e-6)
    assert [image.label for image in run.results["cam"].images] == list(map(str, LABELS.tolist()))


def test_an_image_that_cannot_be_had_costs_a_run_only_itself_and_a_call_everything(net, expected, tmp_path):
    run = ik.run(RECIPE, model=net, images=Broken(), output=tmp_path)
    assert run.status == "failed"
    assert "image2: item 2 of the Broken cannot be had: OSError: the disk is gone" in str(run.manifest)
    np.testing.assert_allclose(run.results["cam"].maps["0"].values, np.delete(expected, 2, axis=0), atol=1e-6)
    with pytest.raises(ik.InputError, match="item 2 of the Broken cannot be had"):
        ik.visualize(net, Broken(), "grad_cam", layers=["0"])


@pytest.mark.parametrize("images", [[], iter([]), 3, DataLoader(TensorDataset(IMAGES[:0]))], ids=type)
def test_a_run_of_no_images_leaves_nothing_behind(net, tmp_path, images):
    with pytest.raises(ik.InputError):
        ik.run(RECIPE, model=net, images=images, output=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_targets_for_each_image_need_their_number(net):
    found = ik.visualize(net, list(IMAGES[:2]), "grad_cam", layers=["0"], target=[1, 2])
    assert [target.index for target in found.targets] == [1, 2]
    with pytest.raises(ik.InputError, match="has 7 targets for images whose number shows only as they come"):
        ik.visualize(net, Streamed(), "grad_cam", layers=["0"], target=LABELS.tolist())


def test_images_are_gone_through_batch_by_batch(net):
    alive, most = [], 0

    def supply():
        nonlocal most
        for value in range(40):
            picture = Image.new("RGB", (300, 280), (value, 0, 0))
            alive.append(weakref.ref(picture))
            most = max(most, sum(each() is not None for each in alive))
            yield picture

    found = ik.visualize(net, supply(), "channel_stats", layers=["0"], batch_size=4)
    assert len(alive) == 40
    assert most <= 3
    assert len(found.images) == 0


def test_arrays_are_the_pictures_that_they_hold(net):
    arrays = np.random.default_rng(0).integers(0, 256, (3, 300, 280, 3), dtype=np.uint8)
    expected = ik.visualize(net, list(map(Image.fromarray, arrays)), "grad_cam", layers=["0"], target=0)
    for images in (arrays, list(arrays), [{"image": array} for array in arrays]):
        found = ik.visualize(net, images, "grad_cam", layers=["0"], target=0)
        np.testing.assert_array_equal(found.maps["0"].values, expected.maps["0"].values)
        assert [image.sha256 for image in found.images] == [image.sha256 for image in expected.images]


def test_an_image_folder_of_torchvision_is_a_data_set(net, tmp_path):
    generator = np.random.default_rng(0)
    for name in ("a/0.png", "a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / name)
    model = ik.wrap(net, transform=to_tensor)
    found = ik.visualize(model, ImageFolder(tmp_path, to_tensor), "grad_cam", layers=["0"], target="label")
    pictures = ik.visualize(model, ImageFolder(tmp_path), "grad_cam", layers=["0"], target="label")
    files = ik.visualize(model, str(tmp_path / "*/*.png"), "grad_cam", layers=["0"], target=[0, 0, 1])
    assert [image.label for image in found.images] == [0, 0, 1]
    for other in (pictures, files):
        np.testing.assert_array_equal(found.maps["0"].values, other.maps["0"].values)


def test_what_is_left_out_of_a_folder_is_a_warning_and_entries_are_those_of_recipes(net, tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    Image.fromarray(np.full((20, 20), 2000, np.uint16)).save(tmp_path / "b.png")
    (tmp_path / "notes.txt").write_text("none")
    entry = {"path": str(tmp_path), "range": [0, 4000]}
    with pytest.warns(UserWarning, match=r"left out 1 \.txt"):
        found = ik.visualize(net, entry, "feature_grid", layers=["0"])
    assert [image.id for image in found.images] == ["a", "b"]
    assert found.images[1].conversions == ("scaled from 0 … 4000 (stated by the recipe)",)
    with pytest.raises(ik.RecipeError, match="unknown key 'rnge'"):
        ik.visualize(net, {"path": str(tmp_path), "rnge": [0, 1]}, "feature_grid", layers=["0"])


def test_what_a_processor_of_transformers_makes_is_fed_as_it_is(net):
    pictures = [Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (10, 200)]
    processor = ViTImageProcessorPil(size={"height": 16, "width": 16})
    made = processor(pictures, return_tensors="pt")
    found = ik.visualize(net, made, "grad_cam", layers=["0"], target=0)
    same = ik.visualize(ik.wrap(net, transform=processor), pictures, "grad_cam", layers=["0"], target=0)
    np.testing.assert_allclose(found.maps["0"].values, same.maps["0"].values, atol=1e-6)


def test_a_transform_of_albumentations_is_a_preprocessing(net):
    values = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    whole = albumentations.Compose([albumentations.Normalize(mean, std), ToTensorV2()])
    model = ik.wrap(net, transform=whole)
    by_hand = torch.from_numpy((values / 255 - mean) / std).permute(2, 0, 1)[None].float()
    found = ik.visualize(model, values, "grad_cam", layers=["0"], target=0)
    expected = ik.visualize(net, by_hand, "grad_cam", layers=["0"], target=0)
    np.testing.assert_allclose(found.maps["0"].values, expected.maps["0"].values, atol=1e-5)
    unfinished = albumentations.Compose([albumentations.Normalize(mean, std)])
    with pytest.raises(ik.InputError, match="the transform returns an array") as caught:
        ik.visualize(ik.wrap(net, transform=unfinished), values, "grad_cam", layers=["0"])
    assert "ToTensorV2" in caught.value.hint
