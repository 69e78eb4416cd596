from __future__ import annotations

from pathlib import Path

import pytest

import interpretkit as ik

RECIPE = Path(__file__).with_name("recipe.yaml").read_text()


def test_debug_shows_the_traceback(folder, command):
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
