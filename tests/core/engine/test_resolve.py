"""All faults of a recipe are told in one pass, each at its place, and none that only follows from another."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

import interpretkit as ik
from interpretkit.contracts.registry import discover
from interpretkit.engine.carry_out import blank_plan, read_and_resolve
from interpretkit.engine.resolve import resolve
from interpretkit.errors import InterpretkitError
from interpretkit.recipe.read import read_leniently

RECIPE = (Path(__file__).parents[3] / "recipes" / "repvgg_b0.yaml").read_text()
FEATURES, GRADCAM, STATISTICS, AGREEMENT = (
    "  - id: features",
    "  - id: gradcam",
    "  - id: statistics",
    "  - id: agreement",
)
GRID = "    with: {layers: [stage0, stage1, stage2, stage3, stage4]}"
CAM = "    with: {layers: [stage4], target: predicted}"
STAGES = '    with: {layers: ["stage*"]}'
IN_ONE_LINE = "  - {id: gradcam, model: modell, uses: grad_cam, with: {layers: [stage4]}}"
READS = "    of: [features, gradcam]"

# Of each step: a line, what it becomes, what in that is at fault, and what is said of it.
EDITS = {
    "features": [
        ("    uses: feature_grid", "    uses: feature_gird", "feature_gird", "did you mean 'feature_grid'?"),
        ("    uses: feature_grid", "    uses: feature-grid", "feature-grid", "code (did you mean 'feature_grid'?)"),
        ("    uses: feature_grid", "    uses: os.system", "os.system", "'os.system' is no id"),
        ("    uses: feature_grid", "    used: feature_grid", "used", "unknown key 'used' (did you mean 'uses'?"),
        (GRID, GRID.replace("with:", "wiht:"), "wiht", "unknown key 'wiht' (did you mean 'with'?"),
        (GRID, "    layers: [stage0]", "layers", "'layers' is an option of feature_grid: it belongs under 'with:'"),
        (GRID, GRID.replace("layers:", "layrs:"), "layrs", "unknown key 'layrs' (did you mean 'layers'?)"),
        (GRID, "    with: {layers: stage0}", "stage0", "layers: a list is wanted, not 'stage0'"),
        (GRID, "    with: {layers: [a, 7]}", "7", "layers[1]: text is wanted, not 7"),
        (GRID, "    with: {layers: [a], max_channels: -1}", "-1", "max_channels: a value of at least"),
        (GRID, "    with: 7", "7", "with: a mapping is wanted, not 7"),
        (FEATURES, "  - id: .features", ".features", "id: '.features' is no name"),
        (FEATURES, "  - idd: features", "idd", "unknown key 'idd' (did you mean 'id'?"),
    ],
    "gradcam": [
        ("    uses: grad_cam", "    uses: grad_cma", "grad_cma", "unknown visualizer 'grad_cma' (did you mean"),
        (CAM, CAM.replace("predicted", "1.5"), "1.5", "target: a whole number or text or a mapping or a list is wan"),
        (CAM, CAM.replace("predicted", "{for: 1}"), "{for: 1}", "key 'against' is missing"),
        (CAM, "    with: {target: 3}", "{target", "key 'layers' is missing"),
        (CAM, CAM.replace("target:", "targte:"), "targte", "unknown key 'targte' (did you mean 'target'?)"),
        (GRADCAM, "  - id: a/b", "a/b", "id: 'a/b' is no name"),
        (GRADCAM, "  - id: Features", "Features", "step id 'Features' is taken by 'features'"),
        (GRADCAM, IN_ONE_LINE, "modell", "there is no model 'modell' (did you mean 'model'?)"),
    ],
    "statistics": [
        ("    uses: channel_stats", "    uses: chanel_stats", "chanel_stats", "did you mean 'channel_stats'?"),
        (STAGES, "    with: {layers: [[a]]}", "[a]", "layers[0]: text is wanted, not a list of 1"),
        (STAGES, "    with: {layers: [a], zzz: 1}", "zzz", "unknown key 'zzz' (known keys:"),
        (STATISTICS, "  - id: 7", "7", "id: text is wanted, not 7"),
        (STATISTICS, "  - id: features", "features", "step id 'features' is taken by 'features'"),
    ],
    "agreement": [
        ("    uses: compare", "    uses: comprae", "comprae", "did you mean 'compare'?"),
        (READS, "    of: [featurse, gradcam]", "featurse", "there is no step 'featurse' (did you mean 'features'?)"),
        (READS, "    of: [agreement, gradcam]", "agreement", "step 'agreement' reads itself"),
        (READS, "    of: [features, 7]", "7", "of[1]: text is wanted, not 7"),
        (READS, "    of: []", "[]", "compare reads at least 1 earlier step"),
        (READS, "    off: [features]", "off", "unknown key 'off' (did you mean 'of'?"),
    ],
}  # fmt: skip
ALL = [(step, edit) for step, edits in EDITS.items() for edit in edits]


@pytest.fixture(scope="module")
def registry():
    return discover()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edited(text: str, *edits: tuple[str, str, str, str]) -> str:
    lines = text.splitlines()
    for old, new, _, _ in edits:
        position = lines.index(old)
        lines[position] = new
        if new == IN_ONE_LINE:  # in place of three
            lines[position + 1 : position + 3] = ["#", "#"]
    return "\n".join(lines)


def faults(text: str, registry) -> list[str]:
    Path("r.yaml").write_text(text)
    with pytest.raises(InterpretkitError) as caught:
        resolve(read_leniently("r.yaml"), registry)
    told = [str(each) for each in caught.value.faults]
    assert str(caught.value).splitlines()[:20] == told[:20]
    return told


@pytest.mark.parametrize("edit", [edit for _, edit in ALL], ids=[edit[1].strip() for _, edit in ALL])
def test_one_fault_is_told_once_at_its_place_and_nothing_that_follows_from_it(registry, edit):
    old, new, wrong, words = edit
    (told,) = faults(edited(RECIPE, edit), registry)
    line = RECIPE.splitlines().index(old) + 1
    assert told.startswith(f"r.yaml:{line}:{new.index(wrong) + 1}: ")
    assert words in told


def test_of_two_faults_in_different_steps_both_are_told_in_the_order_of_the_file(registry):
    alone = {edit: faults(edited(RECIPE, edit), registry) for _, edit in ALL}
    hidden = []
    pairs = [(first, second) for (one, first), (other, second) in combinations(ALL, 2) if one != other]
    for first, second in pairs:
        told = faults(edited(RECIPE, first, second), registry)
        places = [fault.split(": ")[0] for fault in told]
        if places != [fault.split(": ")[0] for fault in alone[first] + alone[second]]:
            hidden.append((first[1], second[1], told))
    assert len(pairs) > 300
    assert hidden == [], hidden


def test_a_step_that_reads_one_about_the_whole_set_is_told_unless_that_is_not_known(registry):
    text = edited(RECIPE, (READS, "    of: [statistics]", "", ""))
    (told,) = faults(text, registry)
    assert told.startswith("r.yaml:30:9: step 'agreement' reads 'statistics', whose result is about the whole set of")
    (told,) = faults(text.replace("channel_stats", "chanel_stats"), registry)
    assert "unknown visualizer 'chanel_stats'" in told


TEN = """\
schema: interpretkit/1
name: ten mistakes
model:
  uses: repvgg
  variant: B0
  weights: {hub: timm}
inputs: sample:grace_hopper
steps:
  - {id: features, uses: feature-grid, with: {layers: [stage0]}}
  - {id: gradcam, uses: grad_cam, with: {layers: stage4}}
  - {id: gradcam, uses: saliency}
  - {id: saliency, uses: saliency, model: other}
  - {id: agreement, uses: compare, of: [featurse, gradcam]}
  - {id: one, uses: compare, of: [two]}
  - {id: two, uses: compare, of: [one]}
numerics: {seed: -1}
"""


def test_ten_natural_mistakes_take_one_round(registry):
    told = faults(TEN, registry)
    assert [fault.split(": ")[0].split(":", 1)[1] for fault in told] == [
        "2:7", "5:3", "6:18", "7:9", "9:26", "10:50", "11:10", "12:43", "13:41", "14:34", "16:18",
    ]  # fmt: skip
    assert "'variant' is an option of repvgg: it belongs under 'with:'" in told[1]
    assert "steps read each other in a circle: one → two → one" in told[9]


def test_settings_and_inputs_are_told_with_the_rest_after_the_file(folder):
    (folder / "r.yaml").write_text(RECIPE.replace("seed: 0", "seed: x"))
    settings = [
        "steps.gradcam.with.sigam=1",
        "steps.gradcan.with.target=1",
        "numerics.dtype",
        ("model.with.variant", 7),
    ]
    with pytest.raises(ik.RecipeError) as caught:
        read_and_resolve("r.yaml", settings=settings, images=["a.png", ""])
    assert [each.where for each in caught.value.faults] == [
        "r.yaml:32:48", "--set #1", "--set #2", "--set #3", "--set #4", "-i #2",
    ]  # fmt: skip
    assert caught.value.exit_code == 2


def test_twenty_faults_are_told_and_the_others_counted(folder, registry):
    steps = "".join(f"  - {{id: s{number}, uses: grad_cma}}\n" for number in range(27))
    Path("r.yaml").write_text(RECIPE.replace("steps:\n", f"steps:\n{steps}"))
    with pytest.raises(ik.RecipeError) as caught:
        resolve(read_leniently("r.yaml"), registry)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("r.yaml:16:")
    assert lines[-1] == "and 7 more"


def test_a_circle_of_steps_hides_no_other_and_no_options(registry):
    steps = """\
  - {id: a, uses: compare, of: [b]}
  - {id: b, uses: compare, of: [a]}
  - {id: c, uses: compare, of: [d]}
  - {id: d, uses: compare, of: [c]}
  - {id: e, uses: compare, of: [d], with: {grdi: 3}}
"""
    told = faults(RECIPE.replace("steps:\n", f"steps:\n{steps}"), registry)
    assert [fault.split(" ")[0] for fault in told] == [
        "r.yaml:16:32:",
        "r.yaml:18:32:",
        "r.yaml:20:33:",
        "r.yaml:20:44:",
    ]


PLANNED = """\
schema: interpretkit/1
name: planned
models:
  a: {uses: repvgg, with: {variant: A0}}
  b: {uses: torchvision, with: {name: resnet51}}
inputs: [sample:grace_hopper]
steps:
  - {id: c, model: a, uses: feature_grid, with: {max_channels: 7, layers: [stage4, "!stagee3", "stage9#2"]}}
  - {id: d, model: a, uses: score_cam, with: {layers: [stage4], channels: 1000, target: 1000}}
  - {id: e, model: a, uses: grad_cam, with: {layers: [stage4], target: {for: tiger caat, against: 1000}}}
  - {id: f, model: a, uses: repvgg_branches, with: {blocks: ["stage7#1"]}}
  - {id: g, model: a, uses: repvgg_branches, with: {blocks: [linear]}}
  - {id: h, model: a, uses: guided_grad_cam, with: {layer: stage44, target: predict}}
  - {id: i, model: a, uses: saliency, with: {target: class_token}}
  - {id: j, model: b, uses: grad_cam, with: {layers: [stage44]}}
"""


def test_what_a_model_lacks_is_told_at_the_word_in_its_option(folder):
    (folder / "r.yaml").write_text(PLANNED)
    with pytest.raises(ik.RecipeError) as caught:
        blank_plan(read_and_resolve("r.yaml"))
    lines = PLANNED.splitlines()
    words = [
        "resnet51",
        '"!stagee3',
        '"stage9',
        "1000",
        "tiger caat",
        "1000",
        '"stage7',
        "[linear]",
        "stage44",
        "predict",
        "class_token",
    ]
    numbers = [5, 8, 8, 9, 10, 10, 11, 12, 13, 13, 14]
    expected = [
        f"r.yaml:{number}:{lines[number - 1].rindex(word) + 1}" for number, word in zip(numbers, words, strict=True)
    ]
    assert [each.where for each in caught.value.faults] == expected
