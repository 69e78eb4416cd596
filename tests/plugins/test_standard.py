"""The executor and the exporter that come with every installation."""

from __future__ import annotations

import re
import subprocess
import sys
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

import interpretkit as ik
from interpretkit.runs.verify import verify

PLUGIN = """
from collections import Counter
from pathlib import Path
from torch import nn
from interpretkit import Executor, Exporter, Model, ModelBuilder, PluginError, Preprocessing, hookimpl

class Free(ModelBuilder):
    '''A net for images of any size.'''
    name = "free"

    def build(self, state):
        net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        net.append(nn.Linear(4, 3))
        return Model(module=net, name="Free", preprocessing=Preprocessing(resize=None, crop=None))

class Counting(Executor):
    '''Counts the shards that it hands out.'''
    name = "counting"

    def map(self, work, shards):
        for number, shard in enumerate(shards, 1):
            yield work(shard)
            Path("shards").write_text(str(number))

class Broken(Exporter):
    '''Fails in ways of its own.'''
    name = "broken"

    class Options(Exporter.Options):
        how: str
        '''Which.'''

    def export(self, run, folder):
        if self.options.how == "disk":
            folder.mkdir()
            return folder.write_bytes(b"")
        if self.options.how == "package":
            raise PluginError("there is no slides", hint="pip install slides")
        if self.options.how == "nothing":
            return None
        return {}["title"]

@hookimpl
def interpretkit_models():
    yield Free

@hookimpl
def interpretkit_executors():
    yield Counting

@hookimpl
def interpretkit_exporters():
    yield Broken
"""

RECIPE = """schema: interpretkit/1
name: small
model: {uses: free}
inputs: [images]
steps:
  - {id: cam, uses: grad_cam, with: {layers: ["1"], target: 0}}
  - {id: stats, uses: channel_stats, with: {layers: ["1"]}}
numerics: {batch_size: 2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("standard")
    (path / "images").mkdir()
    generator = np.random.default_rng(0)
    for name in "abcde":
        Image.fromarray(generator.integers(0, 256, (8, 6, 3), np.uint8)).save(path / "images" / f"{name}.png")
    (path / "plugin.py").write_text(PLUGIN)
    (path / "recipe.yaml").write_text(RECIPE)
    return path


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def run(folder):
    return ik.run(folder / "recipe.yaml", images=folder / "images", plugins=[folder / "plugin.py"], output=folder)


def hashes(opened):
    return {
        (step["id"], each["file"]): each["sha256"]
        for step in opened.manifest["steps"]
        for each in (*step["maps"], *step["tables"])
    }


def test_an_executor_of_a_plugins_own_leaves_the_same_arrays(folder, run):
    again = ik.run("recipe.yaml", plugins=["plugin.py"], executor="counting")
    assert (folder / "shards").read_text() == "3"
    assert len(hashes(run)) == 8
    assert hashes(again) == hashes(run)


def test_an_unknown_executor_is_told_before_anything_is_written(tmp_path):
    with pytest.raises(ik.RecipeError, match=r"unknown executor 'lokal' \(did you mean 'local'\?\)"):
        ik.run("recipe.yaml", plugins=["plugin.py"], executor="lokal", output=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_the_report_is_exported_with_all_that_it_links_to(tmp_path, run):
    before = {each: each.read_bytes() for each in run.path.rglob("*") if each.is_file()}
    page = ik.export(run, "html", output=tmp_path / "site")
    assert page == tmp_path / "site" / "report.html"
    assert page.read_text() == (run.path / "report.html").read_text()
    links = re.findall(r'href="([^"#]+)"', page.read_text())
    assert any(link.endswith(".csv") for link in links)
    for link in links:
        assert (page.parent / unquote(link)).read_bytes() == before[run.path / unquote(link)]
    assert before == {each: each.read_bytes() for each in run.path.rglob("*") if each.is_file()}
    assert ik.export(run.path, "html", output=tmp_path / "site") == page


def test_a_run_is_never_exported_into_itself(run):
    with pytest.raises(ik.RecipeError, match="part of the run, which is sealed"):
        ik.export(run, "html", output=run.path / "site")
    assert verify(run.path) == []


@pytest.mark.parametrize("place", [".", "site"])
def test_a_run_is_never_exported_into_another(tmp_path, run, place):
    other = ik.run("recipe.yaml", plugins=["plugin.py"], output=tmp_path)
    with pytest.raises(ik.RecipeError, match=f"part of the run {other.path.name}, which is sealed"):
        ik.export(run, "html", output=other.path / place)
    assert verify(other.path) == []


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("itself", ik.PluginError, r"exporter broken \(.*plugin.py\): export\(\) failed: KeyError: 'title'"),
        ("package", ik.PluginError, r"there is no slides \(pip install slides\)"),
        ("disk", ik.StorageError, "cannot write: Is a directory"),
        ("nothing", ik.PluginError, r"export\(\) returned a NoneType, not the path of what it wrote"),
    ],
)
def test_what_an_exporter_raises_is_told_in_one_line(tmp_path, run, *, how, kind, message):
    with pytest.raises(kind, match=message):
        ik.export(run, "broken", output=tmp_path / "new", plugins=["plugin.py"], how=how)


def export(*words):
    line = [sys.executable, "-m", "interpretkit", "export", *map(str, words)]
    return subprocess.run(line, check=False, capture_output=True, text=True)


def test_the_command_prints_what_to_open(tmp_path, run):
    done = export(run.path, "html", "-o", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'report.html'}\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["htlm"], 2, "error: unknown exporter 'htlm' (did you mean 'html'?)"),
        (["html", "--set", "output=x"], 2, "error: html: unknown key 'output'"),
        (["broken", "--set", "how=itself", "--plugin", "plugin.py"], 3, "error: exporter broken"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, run, *, words, code, message):
    done = export(run.path, *words, "-o", tmp_path / "new")
    assert done.returncode == code
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr
