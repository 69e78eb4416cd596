"""The command line as a user meets it: exit codes, one line of cause, stdout for results only."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import interpretkit as ik

RECIPES = Path(__file__).parents[3] / "recipes"
RECIPE = Path(__file__).with_name("recipe.yaml").read_text()


def test_a_run_prints_its_directory_last_and_verifies(run):
    code, out, err = run("run", "recipe.yaml", "--plugin", "plugin.py")
    assert code == 0, err
    directory = Path(out.splitlines()[-1])
    assert out == f"{directory}\n"
    told = [line.split(":")[0] for line in err.splitlines()[1:]]
    assert told == ["features", "gradcam", "stats", "agreement", "checks"]
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


STERN = """
from interpretkit import Check, Verdict, hookimpl

class Stern(Check):
    '''Whether a map has a value above a limit.'''
    name = "stern"
    judges = ("attribution",)

    def judge(self, result):
        return Verdict(status="STATUS", figure=0.0, threshold=1.0, text="0 of 1")

@hookimpl
def interpretkit_checks():
    yield Stern
"""


@pytest.mark.parametrize(("status", "expected"), [("pass", 0), ("warn", 0), ("fail", 1), ("not applicable", 0)])
def test_a_check_that_fails_is_the_exit_code_where_that_is_asked_for(run, status, expected):
    Path("stern.py").write_text(STERN.replace("STATUS", status))
    given = ("run", "recipe.yaml", "--plugin", "plugin.py", "--plugin", "stern.py", "--set", "checks=[stern]")
    code, out, err = run(*given)
    assert code == 0, err
    code, out, err = run(*given, "--strict")
    assert code == expected
    assert ik.open_run(out.strip()).status == "complete"
    assert ("error: checks: 1 failed (gradcam: stern of " in err) is bool(expected)


@pytest.mark.parametrize(("limit", "expected"), [("0", 0), ("10", 1)])
def test_what_is_not_as_expected_is_the_exit_code(run, limit, expected):
    wanted = f"expect=[{{'stats.layers.mean': 'max > {limit}'}}]"
    code, out, err = run("run", "recipe.yaml", "--plugin", "plugin.py", "--set", wanted, "--junit", "found.xml")
    assert code == expected, err
    assert ik.open_run(out.strip()).expectations[0].passed is not bool(expected)
    assert ("error: not as expected: stats.layers.mean max > 10: max " in err) is bool(expected)
    assert ("expectations: 0 of 1 met" in err) is bool(expected)
    assert Path("found.xml").read_text().count("<failure") == expected


def test_a_number_that_there_is_not_is_an_error_of_the_recipe(run):
    wanted = "expect=[{'stats.maen': '> 0'}]"
    code, out, err = run("run", "recipe.yaml", "--plugin", "plugin.py", "--set", wanted)
    assert code == 2
    assert ik.open_run(out.strip()).status == "failed"
    assert "did you mean 'mean'" in err


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


def test_inputs_with_what_is_said_of_them_lead_to_a_run_that_tells_what_it_lacks(run, folder):
    from PIL import Image

    names = ("猫/снимок", "猫/प्रतिमा", "собака/Grüße", "собака/صورة", "собака/고양이", "собака/снимок")
    for level, name in enumerate(names):
        (folder / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 40), 40 * level).save(folder / "train" / f"{name}.png")
    (folder / "train/猫/empty.png").touch()
    (folder / "train/猫/scan.mha").write_bytes(b"ObjectType = Image")
    setting = "inputs=[{path: train, labels: folder}]"
    plan = run("plan", "recipe.yaml", "--plugin", "plugin.py", "--set", setting)
    assert "6 images" in plan[1]
    assert "train/猫/empty.png: is empty" in plan[1]
    code, out, err = run("run", "recipe.yaml", "--plugin", "plugin.py", "--set", setting)
    assert code == 4
    assert "train: left out 1 .mha" in err
    opened = ik.open_run(out.strip())
    assert {image["label"] for image in opened.manifest["inputs"]} == {"猫", "собака"}
    ids = [image["id"] for image in opened.manifest["inputs"]]
    assert sorted({name.partition("-")[0] for name in ids}) == sorted({name.split("/")[1] for name in names})
    assert len(ids) == 6
    assert "train: left out 1 .mha" in opened.manifest["alerts"]
    assert any("train/猫/empty.png: is empty" in alert for alert in opened.manifest["alerts"])
    page = (opened.path / "report.html").read_text()
    assert all(name in page for name in ids)
    assert "labels: folder" in (opened.path / "resolved.yaml").read_text()
    assert run("verify", out.strip())[0] == 0
    again = run("run", str(opened.path / "resolved.yaml"), "--plugin", "plugin.py")
    assert [image["id"] for image in ik.open_run(again[1].strip()).manifest["inputs"]] == ids


def test_a_broken_installed_plugin_never_stops_a_recipe_that_does_not_use_it(folder, command):
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


def test_names_are_shown_as_they_are(run, folder):
    (folder / "my:cat:.png").write_bytes(b"no image")
    _, _, err = run("run", "recipe.yaml", "--plugin", "plugin.py", "-i", "my:cat:.png", "-i", "sample:grace_hopper")
    assert "\nmy:cat:.png: is no image" in err


def test_events_are_lines_of_json_in_the_journal(run):
    directory = Path(run("run", "recipe.yaml", "--plugin", "plugin.py")[1].strip())
    lines = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    events = [line["event"] for line in lines if line["kind"] == "event"]
    assert events == ["loading", "model", *["begun", "step"] * 4, "batch"]


def test_a_bench_prints_its_table_and_writes_it(run):
    code, out, err = run("bench", "grad_cam", "--images", "3", "-o", "made/out")
    assert code == 0, err
    assert out.splitlines()[2].split()[:3] == ["method", "layer", "pointing"]
    assert "grad_cam at stage4: " in err
    stored = json.loads(Path("made/out/bench.json").read_text())
    assert {row["method"] for row in stored["rows"]} == {"grad_cam", "random_map", "edge_map", "centre_map"}
    assert Path("made/out/bench.png").stat().st_size > 0
    code, out, err = run("bench", "grad_cam", "--images", "3", "--json")
    assert code == 0, err
    assert json.loads(out)["chance"] == stored["chance"]


def test_a_bench_of_a_method_that_can_be_measured_nowhere_fails(run):
    Path("third.py").write_text(
        "from interpretkit import Visualizer, hookimpl\n\n\n"
        "class Broken(Visualizer):\n"
        '    """Fails."""\n'
        "    name = 'broken'\n"
        "    yields = 'attribution'\n\n"
        "    def compute(self, captured):\n"
        "        raise ValueError('kaput')\n\n\n"
        "@hookimpl\n"
        "def interpretkit_visualizers():\n"
        "    yield Broken\n"
    )
    code, out, err = run("bench", "broken", "--images", "1", "--plugin", "third.py")
    assert code == 5
    (said,) = [line for line in out.splitlines() if line.startswith("Not measured: broken at input: ")]
    assert "kaput" in said
    assert err.splitlines()[-1].startswith("error: not measured: broken at input: ")


def test_a_bench_refuses_wrong_names_and_a_folder_that_cannot_be(run):
    Path("file").write_text("")
    code, _, err = run("bench", "grad_cam", "-o", "file/out")
    assert code == 6
    assert "file/out: cannot make" in err
    code, _, err = run("bench", "grad_cm")
    assert (code, err) == (2, "error: unknown visualizer 'grad_cm' (did you mean 'grad_cam'?)\n")
