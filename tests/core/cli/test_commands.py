"""The command line as a user meets it: exit codes, one line of cause, stdout for results only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import interpretkit as ik
from interpretkit.runs.verify import verify

RECIPES = Path(__file__).parents[3] / "recipes"

PLUGIN = """
import time
import torch
from pydantic import Field
from torch import nn
from interpretkit import Classes, Model, ModelBuilder, Preprocessing, Result, Visualizer, hookimpl


class Tiny(ModelBuilder):
    '''A tiny net.'''
    name = "tiny"

    def build(self, state):
        net = nn.Sequential()
        net.add_module("conv", nn.Conv2d(3, 4, 3, stride=4))
        net.add_module("pair", Pair())
        net.add_module("pool", nn.AdaptiveAvgPool2d(1))
        net.add_module("flat", nn.Flatten())
        net.add_module("head", nn.Linear(4, 3))
        outputs = {"classes": Classes(names=("a", "b", "c"))}
        return Model(module=net, name="Tiny", preprocessing=Preprocessing(resize=32, crop=32), outputs=outputs)


class Pair(nn.Module):
    def forward(self, x):
        self.split(x)
        return x

    @property
    def split(self):
        return self.part

    def __init__(self):
        super().__init__()
        self.part = Split()


class Split(nn.Module):
    def forward(self, x):
        return x, x


class Faulty(Visualizer):
    '''Breaks its contract in the way asked for.'''
    name = "faulty"

    class Options(Visualizer.Options):
        how: str
        '''In what way.'''
        words: list[str] = Field(default_factory=lambda: ["a", "b"])
        '''Words.'''

    def needs(self):
        from interpretkit import Needs
        return Needs(activations=["conv"])

    def compute(self, captured):
        how = self.options.how
        if how == "raise":
            raise ValueError("kaput")
        if how == "type":
            return {"no": "result"}
        if how == "nan":
            values = captured.activations["conv"]
            return Result(maps={"conv": captured.map("conv", values / (values * 0), polarity="signed")})
        if how == "write":
            captured.activations["conv"].zero_()
        if how == "hang":
            open("started", "w").close()
            time.sleep(60)
        return Result()

    def draw(self, result):
        if self.options.how == "draw":
            raise KeyError("nothing to draw with")
        if self.options.how == "name":
            from PIL import Image
            from interpretkit import Figure
            yield Figure(name="../../evil", picture=Image.new("RGB", (8, 8)), caption="x", alt="x")


@hookimpl
def interpretkit_models():
    yield Tiny


@hookimpl
def interpretkit_visualizers():
    yield Faulty
"""

RECIPE = """schema: interpretkit/1
name: tiny
model: {uses: tiny}
inputs: [sample:grace_hopper]
steps:
  - id: features
    uses: feature_grid
    with: {layers: [conv]}
  - id: gradcam
    uses: grad_cam
    with: {layers: [conv]}
  - id: stats
    uses: channel_stats
    with: {layers: [conv]}
  - id: agreement
    uses: compare
    of: [features, gradcam]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: object, **more) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "interpretkit", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, **more)


def cli(capsys, monkeypatch, *words: object) -> tuple[int, str, str]:
    """Run the command in this process, since starting torch takes seconds."""
    from interpretkit.__main__ import main

    monkeypatch.setattr(sys, "argv", ["interpretkit", *map(str, words)])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        main()
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def run(capsys, monkeypatch, folder):
    def call(*words: object) -> tuple[int, str, str]:
        return cli(capsys, monkeypatch, *words)

    return call


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['interpretkit', '--help']\n"
        "from interpretkit.__main__ import main\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = {'torch', 'torchvision', 'captum', 'matplotlib', 'numpy', 'PIL', 'pydantic'} & set(sys.modules)\n"
        "    print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(
    "words", [("validate", RECIPES / "repvgg_b0.yaml"), ("plugins",), ("show", "grad_cam"), ("show", "repvgg")]
)
def test_validate_plugins_and_show_do_not_load_torch(words):
    code = (
        f"import sys; sys.argv = {['interpretkit', *map(str, words)]!r}\n"
        "from interpretkit.__main__ import main\n"
        "main()\n"
        "heavy = {'torch', 'torchvision', 'captum', 'matplotlib', 'PIL', 'http.client'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_a_run_prints_its_directory_last_and_verifies(run):
    code, out, err = run("run", "recipe.yaml", "--plugin", "plugin.py")
    assert code == 0, err
    directory = Path(out.splitlines()[-1])
    assert out == f"{directory}\n"
    assert [line.split(":")[0] for line in err.splitlines()[1:]] == ["features", "gradcam", "stats", "agreement"]
    assert "random weights" in err.splitlines()[0]
    opened = ik.open_run(directory)
    assert opened.status == "complete"
    assert opened.manifest["command"] == "interpretkit run recipe.yaml --plugin plugin.py"
    assert opened.results["gradcam"].maps["conv"].values.shape == (1, 8, 8)
    assert len(opened.results["stats"].tables["channels"]["mean"]) == 4
    assert run("verify", directory)[0] == 0
    array = next((directory / "results/features").glob("*.safetensors"))
    data = bytearray(array.read_bytes())
    data[-1] ^= 1
    array.write_bytes(data)
    code, out, err = run("verify", directory)
    assert code == 1
    assert array.name in out
    assert "difference" in err


def test_the_report_can_be_rendered_again(run):
    directory = Path(run("run", "recipe.yaml", "--plugin", "plugin.py")[1].strip())
    before = (directory / "report.html").read_bytes()
    (directory / "report.html").write_text("overwritten")
    assert run("verify", directory)[0] == 1
    code, out, _ = run("report", directory)
    assert (code, out.strip()) == (0, str(directory / "report.html"))
    assert (directory / "report.html").read_bytes() == before
    assert run("verify", directory)[0] == 0


def test_settings_images_and_output_are_taken_from_the_command_line(run, folder):
    from PIL import Image

    Image.new("L", (40, 50), 128).save(folder / "grey one.png")
    code, out, err = run(
        "run", "recipe.yaml", "--plugin", "plugin.py", "-i", "grey one.png", "-o", "elsewhere",
        "--set", "steps.gradcam.with.target=c", "--set", "name=other",
    )  # fmt: skip
    assert code == 0, err
    opened = ik.open_run(out.strip())
    assert opened.path.parent.name == "elsewhere"
    assert opened.path.name.startswith("other-")
    assert [image["id"] for image in opened.manifest["inputs"]] == ["grey_one"]
    assert opened.results["gradcam"].targets[0].label == "c"
    assert opened.manifest["command"] == (
        "interpretkit run recipe.yaml -i 'grey one.png' --set steps.gradcam.with.target=c --set name=other "
        "--plugin plugin.py"
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["run", "missing.yaml"], 2, "missing.yaml"),
        (["run", "recipe.yaml", "--set", "steps.0.wiht=1"], 2, "--set #1"),
        (["run", "recipe.yaml", "--set", "steps.features.uses=feature_gird"], 2, "did you mean 'feature_grid'"),
        (["run", "recipe.yaml", "--set", "steps.features.with.layers=[conf]"], 2, "did you mean 'conv'"),
        (["run", "recipe.yaml", "--set", "steps.gradcam.of=[features]"], 2, "reads no earlier step"),
        (["run", "recipe.yaml", "--set", "steps.agreement.of=[]"], 2, "reads at least 1 earlier step"),
        (["run", "recipe.yaml", "--set", "steps.agreement.of=[stats, features]"], 2, "whole set of images"),
        (["run", "recipe.yaml", "--set", "steps.gradcam.with.target=3"], 4, "class 3 is out of range"),
        (["run", "recipe.yaml", "--set", "steps.gradcam.with.target=zebra"], 4, "no class 'zebra'"),
        (["run", "recipe.yaml", "--set", "steps.gradcam.with.target=label"], 4, "this image has none"),
        (["run", "recipe.yaml", "-i", "nowhere.png"], 4, "nowhere.png"),
        (["run", "recipe.yaml", "-i", "plugin.py"], 4, "plugin.py"),
        (["run", "recipe.yaml", "--set", "model.weights.path=plugin.py"], 4, "plugin.py"),
        (["run", "recipe.yaml", "--set", "numerics.device=cuda:99"], 3, "cuda:99"),
        (["run", "recipe.yaml", "--set", "steps.features.with.layers=[pair.part]"], 5, "a tuple of 2"),
        (["run", "recipe.yaml", "--set", "steps.features.with.layers=[head]"], 5, "head"),
        (["run", "recipe.yaml", "-o", "plugin.py/runs"], 6, "plugin.py"),
        (["run"], 2, "Missing argument"),
        (["run", "recipe.yaml", "--plugin", "absent.py"], 3, "absent.py"),
        (["validate", "recipe.yaml", "missing.yaml"], 2, "missing.yaml"),
        (["show", "grad_cma"], 2, "did you mean 'grad_cam'"),
        (["layers", "tiny", "conf"], 2, "did you mean 'conv'"),
        (["layers", "tiny", "--size", "8x"], 2, "--size: '8x' is no size"),
        (["layers", "tiny", "--size", "0"], 2, "HEIGHTxWIDTH"),
        (["verify", "nowhere"], 2, "nowhere"),
        (["report", "nowhere"], 2, "nowhere"),
    ],
)
def test_a_fault_gets_one_line_and_its_exit_code(run, words, code, says):
    plugin = [] if "--plugin" in words or words[0] in ("verify", "report") else ["--plugin", "plugin.py"]
    found, out, err = run(*words, *plugin)
    assert found == code, err
    assert says in err
    assert "Traceback" not in err
    if words[0] == "run" and code != 5:
        assert out == ""
        assert not list(Path().glob("runs/*"))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raise", "ValueError: kaput"),
        ("type", "a dict, not a Result"),
        ("write", "compute() changed conv in place"),
        ("draw", "draw() failed: KeyError"),
        ("name", "evil"),
    ],
)
def test_a_faulty_step_costs_only_itself(run, folder, how, says):
    (folder / "recipe.yaml").write_text(f"{RECIPE}  - {{id: bad, uses: faulty, with: {{how: {how}}}}}\n")
    code, out, err = run("run", "recipe.yaml", "--plugin", "plugin.py")
    assert code == 5
    assert says in err.splitlines()[-1]
    assert "step 'bad' (faulty, plugin.py)" in err.splitlines()[-1]
    opened = ik.open_run(out.strip())
    assert opened.status == "failed"
    assert [step["status"] for step in opened.manifest["steps"]] == ["complete"] * 4 + ["failed"]
    assert says in (opened.path / "report.html").read_text().replace("&#39;", "'").replace("&#x27;", "'")
    assert run("verify", opened.path)[0] == 0
    assert not (folder.parent / "evil.png").exists()


def test_cells_that_are_not_finite_are_counted_on_the_terminal_and_in_the_manifest(run, folder):
    (folder / "recipe.yaml").write_text(f"{RECIPE}  - {{id: bad, uses: faulty, with: {{how: nan}}}}\n")
    code, out, err = run("run", "recipe.yaml", "--plugin", "plugin.py")
    assert code == 0, err
    assert f"{4 * 8 * 8} cells are NaN or infinite" in err
    assert [step["nonfinite"] for step in ik.open_run(out.strip()).manifest["steps"]] == [0, 0, 0, 0, 4 * 8 * 8]


def test_a_step_that_reads_a_failed_one_is_skipped(run):
    code, out, _ = run("run", "recipe.yaml", "--plugin", "plugin.py", "--set", "steps.features.with.layers=[head]")
    assert code == 5
    status = {step["id"]: step["status"] for step in ik.open_run(out.strip()).manifest["steps"]}
    assert status == {"features": "failed", "gradcam": "complete", "stats": "complete", "agreement": "skipped"}


@pytest.mark.parametrize("bad", ["truncated", "too long to be resized"])
def test_an_image_that_cannot_be_used_does_not_cost_the_others_the_run(run, folder, bad):
    from PIL import Image

    Image.new("RGB", (40, 40), "red").save(folder / "good.png")
    if bad == "truncated":
        (folder / "bad.png").write_bytes((folder / "good.png").read_bytes()[:60])
    else:
        Image.new("L", (1, 3_000_000)).save(folder / "bad.png")
    code, out, err = run("run", "recipe.yaml", "--plugin", "plugin.py", "-i", "bad.png", "-i", "good.png")
    assert code == 4
    assert "bad.png" in err
    opened = ik.open_run(out.strip())
    assert opened.status == "failed"
    assert [image["id"] for image in opened.manifest["inputs"]] == ["good"]
    assert any("bad.png" in alert for alert in opened.manifest["alerts"])


def test_a_broken_installed_plugin_never_stops_a_recipe_that_does_not_use_it(folder):
    broken = folder / "site" / "broken_plugin-1.0.dist-info"
    broken.mkdir(parents=True)
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[interpretkit]\nbroken_plugin = broken_plugin\n")
    (folder / "site" / "broken_plugin.py").write_text("print('noise on stdout')\nraise RuntimeError('worn out')\n")
    environment = {**os.environ, "PYTHONPATH": str(folder / "site")}
    done = command("validate", RECIPES / "repvgg_b0.yaml", env=environment)
    assert (done.returncode, done.stdout) == (0, f"{RECIPES / 'repvgg_b0.yaml'}: ok\n")
    listed = command("plugins", env=environment)
    assert listed.returncode == 0
    assert "broken_plugin (broken-plugin 1.0)\n  broken: RuntimeError: worn out" in listed.stdout
    (folder / "wants.yaml").write_text(RECIPE.replace("uses: feature_grid", "uses: xyzzy_xyzzy"))
    wanted = command("validate", "wants.yaml", "--plugin", "plugin.py", env=environment)
    assert wanted.returncode == 3
    assert "broken-plugin 1.0: RuntimeError: worn out" in wanted.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_is_sealed_as_interrupted_with_what_is_finished(folder, number, code):
    text = RECIPE.replace("inputs: [", "inputs: [second.png, ").replace("sample:grace_hopper", "third.png")
    (folder / "recipe.yaml").write_text(f"{text}  - {{id: bad, uses: faulty, with: {{how: hang}}}}\n")
    from PIL import Image

    for name in ("second.png", "third.png"):
        Image.new("RGB", (40, 40)).save(folder / name)
    line = [sys.executable, "-m", "interpretkit", "run", "recipe.yaml", "--plugin", "plugin.py"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not (folder / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    opened = ik.open_run(out.strip())
    assert opened.status == "interrupted"
    statuses = {step.id: step.status for step in opened.record.steps}
    finished = ["features", "gradcam", "stats", "agreement"]
    assert statuses == {**dict.fromkeys(finished, "complete"), "bad": "interrupted"}
    assert all(step.figures for step in opened.record.steps if step.id in finished)
    assert opened.results["gradcam"].maps["conv"].values.shape == (2, 8, 8)
    assert verify(opened.path) == []


def test_output_into_a_closed_pipe_ends_quietly():
    shell = f"'{sys.executable}' -m interpretkit plugins | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, check=False)  # noqa: S607
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_debug_shows_the_traceback(folder):
    done = command("run", "missing.yaml", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(("how", "line"), [("raise", 'raise ValueError("kaput")'), ("draw", "raise KeyError(")])
def test_debug_shows_where_a_plugin_failed_and_nothing_without_it(run, folder, how, line):
    (folder / "recipe.yaml").write_text(f"{RECIPE}  - {{id: bad, uses: faulty, with: {{how: {how}}}}}\n")
    code, _, err = run("run", "recipe.yaml", "--plugin", "plugin.py", "--debug")
    assert code == 5
    assert line in err
    assert 'plugin.py", line' in err
    assert "Traceback" not in run("run", "recipe.yaml", "--plugin", "plugin.py")[2]


def test_debug_shows_a_traceback_for_each_of_several_faults(run):
    settings = ["--set", "steps.0.uses=x", "--set", "steps.1.uses=y"]
    code, _, err = run("run", "recipe.yaml", "--plugin", "plugin.py", "--debug", *settings)
    assert code == 2
    assert err.count("Traceback") == 2


@pytest.mark.parametrize("name", ["validate", "plan", "run"])
def test_all_faults_are_told_a_line_for_each(run, folder, name):
    text = RECIPE.replace("uses: feature_grid", "uses: feature-grid").replace("[features, gradcam]", "[feature]")
    (folder / "recipe.yaml").write_text(text)
    code, out, err = run(name, "recipe.yaml", "--plugin", "plugin.py")
    assert (code, out) == (2, "")
    assert [line.split(" ")[:2] for line in err.splitlines()] == [
        ["error:", "recipe.yaml:7:11:"],
        ["error:", "recipe.yaml:17:10:"],
    ]
    with pytest.raises(ik.RecipeError) as caught:
        ik.run("recipe.yaml", plugins=["plugin.py"])
    assert err == "".join(f"error: {line}\n" for line in str(caught.value).splitlines())


def test_layers_and_classes_that_are_not_there_are_told_at_their_words(run, folder):
    text = RECIPE.replace("[conv]", "[conv, conf]", 2)
    text = text.replace("[conv, conf]}\n  - id: stats", "[x], target: z}\n  - id: stats")
    (folder / "recipe.yaml").write_text(text)
    for name in ("plan", "run"):
        code, _, err = run(name, "recipe.yaml", "--plugin", "plugin.py")
        assert code == 2
        places = [line.split(" ")[1] for line in err.splitlines()]
        assert places == ["recipe.yaml:8:27:", "recipe.yaml:11:21:", "recipe.yaml:11:33:"]
    assert not list((folder / "runs").iterdir())


def test_plan_says_what_a_recipe_costs(run):
    code, out, err = run("plan", "recipe.yaml", "--plugin", "plugin.py")
    assert code == 0, err
    assert out.splitlines()[:2] == [
        "tiny: 1 image in batches of up to 16",
        "model model: Tiny, 1 forward pass and 1 backward pass per batch",
    ]
    assert "  conv: 4×8×8 with gradient" in out


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


def test_names_are_shown_as_they_are(run, folder):
    (folder / "my:cat:.png").write_bytes(b"no image")
    _, _, err = run("run", "recipe.yaml", "--plugin", "plugin.py", "-i", "my:cat:.png", "-i", "sample:grace_hopper")
    assert "\nmy:cat:.png: is no image" in err


def test_events_are_lines_of_json_in_the_journal(run):
    directory = Path(run("run", "recipe.yaml", "--plugin", "plugin.py")[1].strip())
    lines = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    events = [line["event"] for line in lines if line["kind"] == "event"]
    assert events == ["loading", "model", *["begun", "step"] * 4, "batch"]


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
