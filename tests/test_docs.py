"""What the documentation says is what the code does."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import interpretkit as ik
from interpretkit import testing
from interpretkit.contracts import hooks as hookspecs
from interpretkit.contracts.kinds import MODEL, VISUALIZER
from interpretkit.contracts.registry import discover
from interpretkit.engine.resolve import resolve
from interpretkit.recipe.read import read_recipe
from interpretkit.recipe.recipe import Recipe
from interpretkit.testing import check_model, check_visualizer, checks_of, tiny_images, tiny_model, tiny_run

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]


def module_of(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"doc_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    # pydantic looks the module of a class up while the class is being made.
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def run_block(word: str, page: str, folder: Path) -> ModuleType:
    """Save the one block of a page that has a word in it as a file, and import it."""
    (code,) = [block for block in blocks(page) if word in block]
    file = folder / "block.py"
    file.write_text(code)
    return module_of(file)


def blocks(page: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


def test_the_generated_pages_are_up_to_date():
    generate = module_of(ROOT / "docs" / "generate.py")
    for file, page in generate.PAGES.items():
        assert (ROOT / "docs" / file).read_text() == page(), f"run: python docs/generate.py ({file})"


def test_every_hook_is_documented_with_its_signature():
    hooks = [each for name, each in vars(hookspecs).items() if name.startswith("interpretkit_")]
    assert hooks
    page = (ROOT / "docs" / "plugins.md").read_text()
    for hook in hooks:
        assert f"### `{hook.__name__}{inspect.signature(hook)}`".replace("'", "") in page
        assert "```python" in hook.__doc__


def test_the_readmes_visualizer_has_twenty_lines_and_keeps_the_contract(tmp_path):
    module = run_block("class Energy", "README.md", tmp_path)
    lines = (tmp_path / "block.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 20
    check_visualizer(module.Energy, layers=["features"])


def test_a_loader_is_looked_into_as_the_page_says(tmp_path):
    module = run_block("DataLoader", "docs/python.md", tmp_path)
    assert module.by_label.maps["1"].values.shape == (40, 30, 30)
    assert module.by_label.images[7].label == int(module.test_set.tensors[1][7])
    assert module.channels.tables


def test_the_readmes_own_model_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = run_block("ik.wrap", "README.md", tmp_path)
    assert module.gradcam.maps["1"].values.shape == (4, 30, 30)
    assert [target.label for target in module.gradcam.targets] == ["dog"] * 4
    assert len(module.found["agreement"].tables["channels"]) == 4 * 8
    assert module.run.status == "complete"
    assert (tmp_path / "gradcam.png").stat().st_size > 1000


def test_the_documented_visualizer_with_passes_of_its_own_keeps_the_contract(tmp_path):
    covered = run_block("class Covered", "docs/plugins.md", tmp_path).Covered
    cam = ik.visualize(tiny_model(), tiny_images(), "grad_cam", layers=["features"])
    for target in ("predicted", {"top": 2}):
        check_visualizer(covered, of={"cam": cam}, target=target)
    two = ik.visualize(tiny_model(), tiny_images(), "grad_cam", layers=["features"], target={"top": 2})
    with pytest.raises(ik.StepError, match="step 'cam' has 2 attribution maps"):
        check_visualizer(covered, of={"cam": two})


def test_the_documented_model_builder_builds(tmp_path):
    builder = run_block("class MyNetBuilder", "docs/plugins.md", tmp_path).MyNetBuilder
    model = builder(builder.Options()).build(None)
    again = builder(builder.Options()).build(model.module.state_dict())
    assert [layer.name for layer in again.find(["features"])] == ["features"]
    check_model(builder, width=3)


def keeps_its_contract(offer, **given):
    for check in checks_of(offer, **given):
        check()


def test_the_documented_check_tells_a_point_from_a_haze(tmp_path):
    spread = run_block("class Spread", "docs/plugins.md", tmp_path).Spread
    keeps_its_contract(spread)
    about = {"dims": ("image", "y", "x"), "layer": "a", "extent": {"y": 9, "x": 9}, "polarity": "signed"}
    point, haze = np.zeros((1, 9, 9)), np.ones((1, 9, 9))
    point[0, 4, 4] = -1
    found = {}
    for name, values in {"point": point, "haze": haze}.items():
        verdict = spread(spread.Options()).judge(ik.Result(maps={"a": ik.Map(values=values, **about)}))
        found[name] = (verdict.status, verdict.figure)
    # Of 81 equal cells, 41 hold half.
    assert found == {"point": ("pass", 1 / 81), "haze": ("warn", 41 / 81)}


def test_the_documented_reader_reads(tmp_path):
    reader = run_block("class GridReader", "docs/plugins.md", tmp_path).GridReader
    file = tmp_path / "steps.grid"
    file.write_text("09\n90\n")
    keeps_its_contract(reader, files=[file])
    stored = reader(reader.Options()).read(file, 0)
    assert stored.values.tolist() == [[0, 9], [9, 0]]
    assert stored.range == (0, 9)


def test_the_documented_exporter_writes_pictures_with_their_captions(tmp_path):
    exporter = run_block("class MarkdownExporter", "docs/plugins.md", tmp_path).MarkdownExporter
    run = tiny_run(tmp_path / "tiny")
    keeps_its_contract(exporter, run=run, title="Cats")
    page = ik.export(run, "markdown", output=tmp_path / "out", plugins=[tmp_path / "block.py"])
    drawn = [figure for step in run.manifest["steps"] for figure in step["figures"]]
    assert page.read_text().startswith("# tiny\n")
    assert [picture.read_bytes() for picture in sorted(page.parent.glob("*.png"))] == [
        (run.path / figure["file"]).read_bytes() for figure in drawn
    ]
    assert all(figure["caption"] in page.read_text() for figure in drawn)


def test_the_documented_executor_leaves_the_same_arrays(tmp_path):
    keeps_its_contract(run_block("class Threads", "docs/plugins.md", tmp_path).Threads)
    here = tiny_run(tmp_path / "tiny")
    plugins = [tmp_path / "block.py", Path(testing.__file__).with_name("tiny_plugin.py")]
    about = {"images": tmp_path / "tiny" / "images", "output": tmp_path, "set": {"numerics.batch_size": 1}}
    there = ik.run(tmp_path / "tiny" / "recipe.yaml", plugins=plugins, executor="threads", **about)
    (one,), (other,) = (run.manifest["steps"] for run in (here, there))
    assert len(one["maps"]) == 2
    assert [each["sha256"] for each in other["maps"]] == [each["sha256"] for each in one["maps"]]


def test_the_page_of_the_api_names_everything_public_once():
    page = (ROOT / "docs" / "api.md").read_text()
    headings = re.findall(r"^### (?:class )?([\w.]+)(?:\(\))?$", page, flags=re.MULTILINE)
    public = [
        *(set(ik.__all__) - {"__version__"}),
        *(f"figures.{name}" for name in ik.figures.__all__),
        *(f"testing.{name}" for name in testing.__all__),
    ]
    assert sorted(headings) == sorted(public)
    anchors = [re.sub(r"[^\w\- ]", "", each.lower()) for each in re.findall(r"^#{2,3} (.+)$", page, re.MULTILINE)]
    assert len({*anchors}) == len(anchors)


def test_the_page_of_the_api_says_what_every_field_is():
    page = (ROOT / "docs" / "api.md").read_text()
    for kind in (ik.Needs, ik.Captured, ik.Map, ik.Array, ik.Reads, ik.Verdict, ik.Figure, ik.InputImage, ik.Target):
        (section,) = re.findall(rf"^### class {kind.__name__}$.*?(?=^### |\Z)", page, flags=re.MULTILINE | re.DOTALL)
        for field in dataclasses.fields(kind):
            said = rf"^- `\*?{field.name}`: \S"
            assert field.name.startswith("_") or re.search(said, section, re.MULTILINE), f"{kind.__name__}.{field.name}"


def recipes() -> list[Path]:
    return sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", recipes(), ids=lambda path: path.stem)
def test_every_recipe_is_valid(recipe):
    assert resolve(read_recipe(recipe), discover()).steps


@pytest.mark.parametrize("page", sorted(page.name for page in (ROOT / "docs").glob("*.md")))
def test_every_whole_recipe_of_a_page_is_valid(page, tmp_path):
    for code in blocks(f"docs/{page}", "yaml"):
        if code.startswith("schema:"):
            (tmp_path / "recipe.yaml").write_text(code)
            assert resolve(read_recipe(tmp_path / "recipe.yaml"), discover()).steps


def test_the_readmes_recipe_is_the_main_recipe(tmp_path):
    (code,) = blocks("README.md", "yaml")
    (tmp_path / "recipe.yaml").write_text(code)
    registry = discover()
    from_readme = resolve(read_recipe(tmp_path / "recipe.yaml"), registry).as_data()
    assert from_readme == resolve(read_recipe(ROOT / "recipes" / "repvgg_b0.yaml"), registry).as_data()


def test_every_key_of_a_recipe_is_documented():
    page = (ROOT / "docs" / "recipes.md").read_text()
    for name, field in Recipe.model_fields.items():
        assert f"| `{field.alias or name}` |" in page
    for definition in Recipe.model_json_schema()["$defs"].values():
        for key in definition["properties"]:
            assert re.search(rf"[`{{ ]{key}[`:,]", page), key


def test_every_link_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            target, _, anchor = link.partition("#")
            if target.startswith("http"):
                continue
            path = (page.parent / target).resolve() if target else page
            assert path.exists(), f"{page.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.MULTILINE)
                slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
                assert anchor in slugs, f"{page.name}: {link}"


def test_every_option_of_every_built_in_plugin_is_described():
    registry = discover()
    for found in [*registry.of(VISUALIZER).values(), *registry.of(MODEL).values()]:
        for name, description in found.offer.Options.descriptions().items():
            assert description, f"{found.offer.name}.{name}"


def test_everything_public_can_be_imported_and_has_a_docstring():
    for name in ik.__all__:
        each = getattr(ik, name)
        if inspect.isclass(each) or inspect.isfunction(each):
            assert inspect.getdoc(each), name


def test_importing_the_package_loads_neither_torch_nor_matplotlib():
    code = "import sys, interpretkit; print({'torch', 'matplotlib', 'numpy', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_built_in_visualizer_says_what_it_costs_and_each_paper_has_one_entry():
    registry = discover()
    offers = [found.offer for found in [*registry.of(VISUALIZER).values(), *registry.of(MODEL).values()]]
    entries: dict[str, str] = {}
    for citation in (citation for offer in offers for citation in ik.citations_of(offer)):
        assert entries.setdefault(citation.key, citation.bibtex) == citation.bibtex
    for found in registry.of(VISUALIZER).values():
        assert found.offer.cost
        own = "passes" in found.offer.cost and "of its own" in found.offer.cost
        assert found.offer.citations or not own, f"{found.offer.name} does not say whose method it is"


def test_the_readme_names_every_built_in_visualizer():
    page = (ROOT / "README.md").read_text()
    for name, found in discover().of(VISUALIZER).items():
        assert found.plugin.distribution != "interpretkit" or f"`{name}`" in page, name


def test_the_table_of_rooms_is_the_tree():
    rows = re.findall(r"^\| (\d+) \| `(\w+)/?` \| (.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    package = ROOT / "interpretkit"
    files = {path.stem: path for path in package.glob("*.py") if path.stem != "__init__"}
    rooms = files | {path.parent.name: path for path in package.glob("*/__init__.py")}
    assert sorted(room for _, room, _ in rows) == sorted(rooms)
    for _, room, said in rows:
        assert said == ast.get_docstring(ast.parse(rooms[room].read_text())).splitlines()[0], room


def test_the_floors_of_the_table_are_those_that_the_linter_enforces():
    rows = re.findall(r"^\| (\d+) \| `(\w+)/?` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    (contract, *_) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [set(layer.split(" | ")) for layer in contract["layers"]]
    floors = [{room for floor, room in rows if int(floor) == number} for number in range(len(layers), 0, -1)]
    assert floors == layers
