from __future__ import annotations

import hashlib
import sys

import pytest
import torch

import interpretkit as ik
from interpretkit.errors import WeightsError
from interpretkit.model.weights.packages import NotInstalledError, find

OPTIONS = {"variant": "custom", "depths": [1, 1, 1, 1], "widths": [4, 4, 4, 8], "num_classes": 2}
IMPORTED = "raise SystemExit('it was imported')"


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """Install a distribution, as pip leaves it; the code in it must not be imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def planted(name, *files, about=(), records=True):
        info = tmp_path / f"{name.replace('-', '_')}-2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 2.1", *about]))
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(IMPORTED)
        if records:
            lines = [*files, f"{info.name}/METADATA", f"{info.name}/RECORD", "../../../bin/a_command"]
            (info / "RECORD").write_text("".join(f"{line},,\n" for line in lines))
        return tmp_path

    return planted


@pytest.fixture
def folder(plant):
    """A distribution with two files of weights; its package is not called as it is."""
    return plant(
        "of-weights",
        "weights_of/__init__.py",
        "weights_of/__pycache__/__init__.cpython-311.pyc",
        "weights_of/models/.gitignore",
        "weights_of/models/best.pth",
        "weights_of/models/last.pth",
        "weights_of/others/last.pth",
    )


def test_a_model_has_the_weights_of_a_package_that_is_not_imported(folder):
    net = ik.load_model("repvgg", seed=3, **OPTIONS).module
    torch.save({"state_dict": net.state_dict()}, folder / "weights_of/models/best.pth")
    model = ik.load_model("repvgg", weights={"package": "of-weights", "file": "models/b*.pth"}, **OPTIONS)
    assert torch.equal(model.module.linear.weight, net.linear.weight)
    assert (model.weights.kind, model.weights.source) == (
        "package",
        "package of-weights 2.1: weights_of/models/best.pth",
    )
    file = (folder / "weights_of/models/best.pth").read_bytes()
    assert model.weights.sha256 == hashlib.sha256(file).hexdigest()
    assert "weights_of" not in sys.modules


def test_what_a_recipe_says_of_files_holds_for_those_of_packages(folder):
    net = ik.load_model("repvgg", seed=3, **OPTIONS).module
    states = {"net": net.state_dict(), "ema": ik.load_model("repvgg", seed=4, **OPTIONS).module.state_dict()}
    torch.save(states, folder / "weights_of/models/best.pth")
    weights = {"package": "of-weights", "file": "best.pth", "key": "ema"}
    model = ik.load_model("repvgg", weights=weights, **OPTIONS)
    assert torch.equal(model.module.linear.weight, states["ema"]["linear.weight"])
    with pytest.raises(WeightsError, match="the file has the SHA-256"):
        ik.load_model("repvgg", weights=weights | {"sha256": "0" * 64}, **OPTIONS)


@pytest.mark.parametrize("name", ["of-weights", "Of_Weights", "of.weights", "weights_of"])
@pytest.mark.parametrize("pattern", ["weights_of/models/best.pth", "models/best.pth", "best.pth", "b*", "*/b*.pth"])
def test_a_distribution_has_its_name_however_it_is_written_or_that_of_its_package(folder, name, pattern):
    found = find(name, pattern)
    assert (found.distribution, found.file) == ("of-weights 2.1", "weights_of/models/best.pth")
    assert found.path == folder / "weights_of/models/best.pth"


def test_a_whole_path_means_that_file_whatever_ends_alike(plant):
    plant("twice", "twice/net.pth", "twice/old/twice/net.pth")
    assert find("twice", "twice/net.pth").file == "twice/net.pth"
    with pytest.raises(WeightsError, match=r"2 files of the package twice 2\.1 match 'net\.pth'"):
        find("twice", "net.pth")


MODELS = "weights_of/models/best.pth, weights_of/models/last.pth"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            "weights_of/models/bets.pth",
            "has no file 'weights_of/models/bets.pth' (did you mean 'weights_of/models/best",
        ),
        ("*.safetensors", f"has no file '*.safetensors' (it has {MODELS}, weights_of/others/last.pth)"),
        ("models", "has no file 'models' (did you mean 'weights_of/models/"),
        ("*/models/*", f"2 files of the package of-weights 2.1 match '*/models/*' (say which: {MODELS})"),
        ("last.pth", "(say which: weights_of/models/last.pth, weights_of/others/last.pth)"),
        ("__init__.py", "has no file '__init__.py'"),
        ("METADATA", "has no file 'METADATA'"),
        ("../../../bin/a_command", "has no file"),
        ("../of_weights-2.1.dist-info/METADATA", "has no file"),
        ("/etc/hostname", "has no file '/etc/hostname'"),
        (".", "has no file '.'"),
        ("/", "has no file '/'"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_pattern_that_is_not_one_file_is_refused_with_what_there_is(pattern, words):
    with pytest.raises(WeightsError) as caught:
        find("of-weights", pattern)
    assert words in str(caught.value)
    assert not isinstance(caught.value, NotInstalledError)
    assert (caught.value.exit_code, caught.value.subject) == (4, pattern)


@pytest.mark.parametrize("records", [True, False])
def test_a_distribution_that_lists_no_files_says_so(plant, records):
    plant("editable-one", "_editable_one.pth", records=records)
    with pytest.raises(WeightsError, match=r"has no file '\*\.pth' \(it lists none but Python's"):
        find("editable-one", "*.pth")


def test_a_listed_file_that_is_gone_is_named(folder):
    (folder / "weights_of/models/best.pth").unlink()
    with pytest.raises(WeightsError, match=r"best\.pth: no such file"):
        ik.load_model("repvgg", weights={"package": "of-weights", "file": "best.pth"}, **OPTIONS)


def test_a_package_of_several_distributions_is_none(plant):
    plant("half-one", "shared_by/one.py", "shared_by/one.pth")
    plant("half-two", "shared_by/two.py", "shared_by/two.pth")
    with pytest.raises(WeightsError, match=r"several .*'shared_by' \(name one of them: half-one, half-two\)"):
        find("shared_by", "one.pth")
    assert find("half-two", "*.pth").file == "shared_by/two.pth"


@pytest.mark.parametrize("name", ["of-nothing", "__main__", "email"])
def test_what_is_not_installed_says_how_to_get_it(name):
    with pytest.raises(NotInstalledError) as caught:
        find(name, "a")
    hint = f"(pip install {name}, or allow `otherwise: random`)"
    assert str(caught.value) == f"the package {name!r} is not installed {hint}"
    assert (caught.value.exit_code, caught.value.subject) == (4, name)


def test_what_an_extra_has_is_installed_by_the_smallest_one(plant):
    everything = ["torch>=2", "net_of.nothing>=1; extra == 'dev'", "pytest; extra == 'dev'", "timm; extra == 'dev'"]
    photo = ["timm; extra == 'photo'", "net_of.nothing>=1; extra == 'photo'", "net-of-nothing-else; extra == 'more'"]
    plant("interpretkit", about=[f"Requires-Dist: {each}" for each in everything + photo])
    with pytest.raises(NotInstalledError, match=r"\(pip install 'interpretkit\[photo\]', or allow"):
        find("Net-of-nothing", "a")
    with pytest.raises(NotInstalledError, match=r"\(pip install 'interpretkit\[more\]', or allow"):
        find("net-of-nothing-else", "a")
    with pytest.raises(NotInstalledError, match=r"\(pip install net-of, or allow"):
        find("net-of", "a")


@pytest.mark.usefixtures("folder")
def test_random_weights_stand_in_for_a_package_that_is_not_installed_and_for_nothing_else():
    weights = {"package": "of-nothing", "file": "a", "otherwise": "random"}
    model = ik.load_model("repvgg", weights=weights, **OPTIONS)
    assert model.notes == ("untrained",)
    assert str(model.weights) == "random weights in place of package of-nothing"
    assert model.weights.fallback == "the package 'of-nothing' is not installed"
    with pytest.raises(WeightsError, match="has no file 'a'"):
        ik.load_model("repvgg", weights=weights | {"package": "of-weights"}, **OPTIONS)
    with pytest.raises(WeightsError, match="neither safetensors nor a PyTorch checkpoint"):
        ik.load_model("repvgg", weights=weights | {"package": "of-weights", "file": "best.pth"}, **OPTIONS)


@pytest.mark.parametrize("name", ["", "a b", "../a", "-a", "a-", "a/b", "a>=1", "ä"])
def test_what_is_no_name_of_a_package_is_refused(name):
    with pytest.raises(ik.RecipeError, match="the name of a package is wanted, as pip knows it"):
        ik.load_model("repvgg", weights={"package": name, "file": "a"})
