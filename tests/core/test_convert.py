from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import interpretkit as ik
from interpretkit.digests import sha256_file

PLUGIN = """
from interpretkit import ModelBuilder, WeightsError, hookimpl


class {name}(ModelBuilder):
    '''A model with a form of its own for deployment.'''
    name = "{id}"

    class Options(ModelBuilder.Options):
        factor: int = 2
        '''What everything is multiplied by.'''

    def build(self, state):
        raise NotImplementedError

    def convert(self, state):
        if "weight" not in state:
            raise WeightsError("no weight")
        return {{"weight": (state["weight"] * self.options.factor).t()}}


@hookimpl
def interpretkit_models():
    yield {name}
"""


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "doubling.py"
    path.write_text(PLUGIN.format(name="Doubling", id="doubling"))
    return path


@pytest.fixture
def checkpoint(tmp_path):
    save_file({"weight": torch.arange(6.0).reshape(2, 3)}, tmp_path / "source.safetensors")
    return tmp_path / "source.safetensors"


def test_the_builders_weights_are_written_with_where_they_come_from(checkpoint, plugin, tmp_path):
    output = tmp_path / "out.safetensors"
    path = ik.convert(checkpoint, output, model="doubling", plugins=[plugin], options={"factor": 3})
    assert path == output
    assert load_file(output)["weight"].tolist() == [[0, 9], [3, 12], [6, 15]]
    with safe_open(output, "pt") as file:
        assert file.metadata() == {"format": "pt", "model": "doubling", "source_sha256": sha256_file(checkpoint)}


def test_of_several_sets_of_weights_the_key_says_which(plugin, tmp_path):
    sets = {
        name: {"weight": torch.full((1, 2), fill), "bias": torch.ones(1)} for name, fill in (("a", 1.0), ("b", 2.0))
    }
    torch.save(sets, tmp_path / "both.pth")
    path = ik.convert(tmp_path / "both.pth", tmp_path / "out", model="doubling", key="b", plugins=[plugin])
    assert load_file(path)["weight"].tolist() == [[4.0], [4.0]]
    with pytest.raises(ik.WeightsError, match="several sets of weights: a, b"):
        ik.convert(tmp_path / "both.pth", tmp_path / "other", model="doubling", plugins=[plugin])


def test_a_file_that_exists_is_kept(checkpoint, plugin):
    before = checkpoint.read_bytes()
    with pytest.raises(ik.StorageError, match="such a file already"):
        ik.convert(checkpoint, checkpoint, model="doubling", plugins=[plugin])
    assert checkpoint.read_bytes() == before


def test_the_model_must_be_named_where_several_would_do(checkpoint, plugin, tmp_path):
    with pytest.raises(ik.RecipeError, match=r"2 models .*--model: doubling, repvgg"):
        ik.convert(checkpoint, tmp_path / "out", plugins=[plugin])


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("doublin", {}, ik.RecipeError, "did you mean 'doubling'"),
        ("doubling", {"factr": 3}, ik.RecipeError, "did you mean 'factor'"),
        ("plain", {}, ik.WeightsError, "no other form"),
    ],
)
def test_what_cannot_be_converted_is_refused(checkpoint, plugin, tmp_path, *, model, options, error, message):
    plain = tmp_path / "plain.py"
    text = PLUGIN.format(name="Plain", id="plain").replace("def convert", "def other")
    plain.write_text(text)
    with pytest.raises(error, match=message):
        ik.convert(checkpoint, tmp_path / "out", model=model, plugins=[plugin, plain], options=options)
    assert not (tmp_path / "out").exists()


def test_weights_that_do_not_fit_are_refused_with_their_file(plugin, tmp_path):
    save_file({"bias": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ik.WeightsError, match=r"other.safetensors: no weight"):
        ik.convert(tmp_path / "other.safetensors", tmp_path / "out", model="doubling", plugins=[plugin])


def test_a_folder_that_is_not_there_is_an_error_of_the_file_system(checkpoint, plugin, tmp_path):
    with pytest.raises(ik.StorageError, match="cannot write"):
        ik.convert(checkpoint, tmp_path / "none" / "out", model="doubling", plugins=[plugin])
