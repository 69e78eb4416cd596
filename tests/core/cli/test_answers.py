from __future__ import annotations

import json
from pathlib import Path

RECIPES = Path(__file__).parents[3] / "recipes"
RECIPE = Path(__file__).with_name("recipe.yaml").read_text()


def test_plan_says_what_a_recipe_costs(run):
    code, out, err = run("plan", "recipe.yaml", "--plugin", "plugin.py")
    assert code == 0, err
    assert out.splitlines()[:2] == [
        "tiny: 1 image in batches of up to 16",
        "model model: Tiny, 1 forward pass and 1 backward pass per batch",
    ]
    assert "  conv: 4×8×8 with gradient" in out


def test_plan_says_which_passes_the_checks_add(run):
    def added(*settings):
        code, out, err = run("plan", "recipe.yaml", "--plugin", "plugin.py", *settings)
        assert code == 0, err
        return [line.strip() for line in out.splitlines() if line.startswith("  check ")]

    passes = "up to 1 forward pass and 1 backward pass more per batch"
    # Its weights are random, so they are not held against others.
    assert added() == [f"check target, of the strongest other target: {passes}"]
    learned = ["--set", "model.weights={path: w.pt}"]
    assert added(*learned) == [
        f"check randomization, with random weights: {passes}",
        f"check target, of the strongest other target: {passes}",
    ]
    assert added(*learned, "--set", "checks=none") == []
    assert added(*learned, "--set", "checks=[degenerate, randomization]") == [
        f"check randomization, with random weights: {passes}"
    ]
    own = ["--set", "steps=[{id: ig, uses: integrated_gradients}]"]
    assert added(*learned, *own) == []
    assert added(*learned, *own, "--set", "checks=[repeatability]") == [
        "check repeatability, with nothing changed: passes of its own once more, step ig"
    ]


def test_plan_says_what_it_can_of_a_network_of_another_size(run, folder):
    plugin = folder / "plugin.py"
    of_volumes = plugin.read_text().replace("Conv2d(3, 4, 3, stride=4)", "Conv3d(1, 4, 3, padding=1)")
    of_volumes = of_volumes.replace("nn.AdaptiveAvgPool2d(1)", "nn.MaxPool3d(5)")
    plugin.write_text(of_volumes)
    code, out, err = run("plan", "recipe.yaml", "--plugin", "plugin.py")
    assert code == 0, err
    assert "model model: Tiny, 1 forward pass and 1 backward pass per batch" in out
    assert "  conv: shape known when it is run with gradient" in out
    _, _, err = run("layers", "tiny", "--plugin", "plugin.py")
    assert "failed on a volume 1×64×64×64" in err
    assert "`--size DEPTHxHEIGHTxWIDTH`" in err
    assert run("layers", "tiny", "--size", "5", "--plugin", "plugin.py")[0] == 0


def test_layers_of_a_model_and_of_a_recipe(run):
    code, out, err = run("layers", "tiny", "--plugin", "plugin.py")
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()] == [
        "layer", "conv", "pair.part", "pair", "pool", "flat", "head",
    ]  # fmt: skip
    assert run("layers", "recipe.yaml", "conv", "--plugin", "plugin.py")[1].splitlines()[1].split()[:3] == [
        "conv", "Conv2d", "4×8×8",
    ]  # fmt: skip


def test_layers_as_a_tree_and_as_json(run):
    code, out, err = run("layers", "tiny", "--tree", "--size", "16x24", "--plugin", "plugin.py")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "stride", "receptive", "field", "parameters"]
    assert lines[2].startswith("pair ")
    assert lines[3].startswith("  part ")
    code, out, err = run("layers", "recipe.yaml", "conv", "head", "--json", "--size", "16", "--plugin", "plugin.py")
    assert code == 0, err
    assert json.loads(out)[0] == {
        "model": "model: tiny", "name": "conv", "path": "conv", "kind": "Conv2d", "shape": [4, 4, 4], "stride": [4, 4],
        "receptive_field": [3, 3], "parameters": 112, "alias_of": None,
    }  # fmt: skip


def test_show_lists_every_option_with_its_description(run):
    from interpretkit.contracts.kinds import MODEL, VISUALIZER
    from interpretkit.contracts.registry import discover

    registry = discover()
    for name, found in {**registry.of(VISUALIZER), **registry.of(MODEL)}.items():
        code, out, _ = run("show", name)
        assert code == 0
        for option, field in found.offer.Options.model_fields.items():
            assert f"  {field.alias or option}: " in out
            description = found.offer.Options.descriptions()[option]
            assert description
            assert " ".join(description.split()) in " ".join(out.split())


def test_show_names_a_default_that_is_made_anew(run):
    assert "  words: list of string, default ['a', 'b']\n" in run("show", "faulty", "--plugin", "plugin.py")[1]


def test_show_says_what_a_method_costs_its_polarity_and_what_to_cite(run):
    _, out, _ = run("show", "grad_cam")
    assert "cost: one backward pass for each target, shared with the other steps\n" in out
    assert "polarity: signed\n" in out
    assert "deterministic: yes\n" in out
    assert "citation: Selvaraju et al., Grad-CAM" in out


def test_cite_lists_each_paper_once_with_what_it_stands_for(run):
    code, out, _ = run("cite", RECIPES / "repvgg_b0.yaml")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == len(set(lines)) > 3
    assert lines[0].startswith("model model: Ding et al., RepVGG")
    assert lines[1].startswith("step gradcam: Selvaraju et al.")


def test_cite_prints_entries_that_bibtex_can_read(run):
    _, out, _ = run("cite", RECIPES / "repvgg_branches.yaml", "--bibtex")
    entries = out.split("\n\n")
    keys = [entry.split("{", 1)[1].split(",", 1)[0] for entry in entries]
    assert len(keys) == len(set(keys)) == 4
    for entry in entries:
        assert entry.count("{") == entry.count("}")
        assert {"author", "title", "year"} <= {line.split("=")[0].strip() for line in entry.splitlines()[1:-1]}


def test_cite_of_a_recipe_without_papers_prints_nothing(run, folder):
    (folder / "recipe.yaml").write_text(RECIPE.split("  - id: gradcam", maxsplit=1)[0])
    assert run("cite", "recipe.yaml", "--plugin", "plugin.py") == (0, "", "")


def test_plan_says_what_passes_of_its_own_cost_in_numbers_and_shortens_long_lists(run):
    code, out, _ = run("plan", RECIPES / "compare_b0.yaml")
    lines = out.splitlines()
    assert code == 0
    assert "step integrated_gradients: 32 forward and backward passes" in out
    assert "step top3: grad_cam on model, target top 3" in lines
    start = lines.index("step fullgrad: full_grad on model, target predicted")
    listed = lines[start + 1 : start + 22]
    assert listed[0] == "  stage0.rbr_dense.bn#*: 64×112×112 with gradient"
    assert listed[-1].startswith("  and ")
    assert listed[-1].endswith(" layers more")
