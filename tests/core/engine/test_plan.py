from __future__ import annotations

import pytest

import interpretkit as ik


def test_needs_that_fail_name_the_step_and_the_plugin_and_leave_nothing(folder, faulty):
    for how, says in (("needs", "ValueError: no"), ("text", "TypeError: Needs: layers are a list of patterns")):
        with pytest.raises(ik.PluginError, match=r"faulty\.py: step 'wrong': needs") as caught:
            faulty(folder, how)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list((folder / "runs").iterdir()) == []


def test_a_label_that_is_missing_is_found_before_anything_is_written(folder, run):
    (folder / "set.csv").write_text("path,label\nimages/a.png,2\nimages/c.png,\n")
    with pytest.raises(ik.InputError, match=r"step 'cam_wide', images/c\.png: .*this image has none"):
        run(images=["set.csv"], set={"steps.cam_wide.with.target": "label"})
    assert list((folder / "runs").iterdir()) == []
