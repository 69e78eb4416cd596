from __future__ import annotations

import base64
import json
import re
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import interpretkit as ik
from interpretkit.report import page as report
from interpretkit.report.explorer import contents as held
from interpretkit.report.explorer.blocks import block
from interpretkit.report.explorer.contents import contents

if TYPE_CHECKING:
    from pathlib import Path

STEPS = [
    {"id": "features", "uses": "feature_grid", "with": {"layers": ["0", "2"]}},
    {"id": "cam", "uses": "grad_cam", "with": {"layers": ["0", "2"], "target": 1}},
    {"id": "gradients", "uses": "input_x_gradient", "with": {"target": 1}},
    {"id": "same", "uses": "compare", "of": ["features", "cam"]},
]
HIGH, WIDE = 24, 40


def unpacked(text: str, shape: tuple[int, ...], bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a block as its description says they are to be computed, and the scales."""
    data = zlib.decompress(base64.b64decode(text))
    channels = shape[0]
    scale, zero = np.frombuffer(data[: 16 * channels], "<f8").reshape(2, channels)
    numbers = np.frombuffer(data[16 * channels :], "<u1" if bits == 8 else "<u2").reshape(channels, -1).astype(float)
    values = scale[:, None] * (numbers - zero[:, None])
    return np.where(numbers == 2**bits - 1, np.nan, values).reshape(shape), scale


@pytest.mark.parametrize("bits", [8, 16])
def test_a_block_is_off_by_half_a_step_at_most_and_zeros_are_exact(bits):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(10, 5, 7))
    values[1] = values[1].clip(0)
    values[2], values[3], values[4] = 0, 3.25, -7
    values[5] += 1e6
    values[6] *= 1e300
    values[7] *= 1e-300
    values[8, :2] = np.nan
    values[9] = np.inf
    found, scale = unpacked(block(values, bits), values.shape, bits)
    finite = np.isfinite(values)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    off = np.abs(np.where(finite, found - values, 0)).reshape(10, -1).max(1) / scale
    assert (off <= 0.5 + 1e-6).all()
    assert (found[values == 0] == 0).all()
    ranges = [np.ptp(each[np.isfinite(each)]) for each in values[[0, 1, 5, 6, 7, 8]]]
    np.testing.assert_allclose(scale[[0, 1, 5, 6, 7, 8]], np.array(ranges) / (2**bits - 2), rtol=1e-9)
    assert np.ptp(found[3]) == np.ptp(found[4]) == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on images that are not square, at an unpadded layer whose cells do not tile the input."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 6, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    model = ik.wrap(nn.Sequential(*layers).eval(), output=ik.Classes(names=tuple("abcd"), returns="logits"))
    images = [
        (torch.rand(3, HIGH, WIDE, generator=torch.Generator().manual_seed(seed)), "abc"[seed]) for seed in range(3)
    ]
    recipe = {"schema": "interpretkit/1", "name": "explored", "steps": STEPS}
    return ik.run(recipe, model=model, images=images, output=tmp_path_factory.mktemp("explorer"))


def test_a_map_that_another_step_has_too_is_held_once(run):
    found = contents(run)
    names = {(each["step"], each["key"], each["image"]) for each in found.data["maps"]}
    images = [image.id for image in run.record.inputs]
    # `compare` has some channels of its own, those most and least alike: of these nobody knows the numbers.
    assert any(each.key.endswith("most") for each in run.record.steps[-1].maps)
    expected = {(step, key, image) for step in ("features", "cam") for key in ("0", "2") for image in images}
    assert names == expected | {("gradients", "input", image) for image in images}
    assert found.left_out == 0
    for each in found.data["maps"]:
        exact = run.result(each["step"], image=each["image"]).maps[each["key"]].values.reshape(each["shape"])
        values, scale = unpacked(found.blocks[each["block"]], tuple(each["shape"]), each["bits"])
        assert (np.abs(values - exact).reshape(len(scale), -1).max(1) <= 0.501 * scale).all()


def test_columns_of_channels_come_from_the_tables_of_all_steps(run):
    image = run.record.inputs[0].id
    (stack,) = [
        each for each in contents(run).data["maps"] if each["stack"] and (each["key"], each["image"]) == ("2", image)
    ]
    table = run.results["features"].tables["channels"]
    rows = table.where("layer", "2").where("image", image)
    assert stack["columns"]["features.mean"] == pytest.approx(rows["mean"].tolist(), rel=1e-3)


def test_images_that_did_not_pass_or_are_disputed_come_first(run):
    images = contents(run).data["images"]
    ranks = [
        (not any(check["status"] == "fail" for check in each["checks"]), not each["checks"], not each["disputed"])
        for each in images
    ]
    assert ranks == sorted(ranks)
    assert all(photo.startswith("data:image/jpeg;base64,") for each in images for photo in each["photos"].values())


def test_maps_that_take_too_many_bytes_are_left_out_and_counted(run, monkeypatch):
    everything = contents(run).data["maps"]
    monkeypatch.setattr(held, "BYTES", 2000)
    few = contents(run)
    assert 0 < len(few.blocks) < len(everything)
    assert few.left_out == len(everything) - len(few.data["maps"])
    assert not any(each["stack"] for each in few.data["maps"])
    assert "feature maps of all but the first" in report.render(run)


def test_two_builds_of_a_report_are_equal(run):
    assert report.render(run) == report.render(run) == (run.path / "report.html").read_text("utf-8")


def test_data_of_a_run_ends_no_element(run):
    hostile = run.manifest["inputs"][0]
    text = report._json({"id": "</script><script>alert(1)</script>&", "hostile": hostile["id"]})
    assert "<" not in text
    assert json.loads(text)["id"] == "</script><script>alert(1)</script>&"


@pytest.fixture
def page(browser, run):
    """The report as by a double click."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.heard, page.requested = [], []
    page.on("console", lambda message: page.heard.append(message.text))
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("request", lambda request: page.requested.append(request.url))
    page.goto((run.path / "report.html").as_uri(), wait_until="load")
    page.locator("#explorer-maps figure").first.wait_for()
    page.locator("#explorer-channel figure").wait_for()
    yield page
    assert page.heard == []
    assert [url for url in page.requested if not url.startswith(("data:", "blob:"))] == [page.url.split("#")[0]]
    context.close()


def chosen(page) -> str:
    return page.locator("#explorer-image").inner_text()


def figure(page, title: str):
    return page.locator("#explorer-maps figure").filter(has_text=title)


def pointed(page, canvas, y: float, x: float) -> None:
    """Point at a place of a canvas, in shares of its height and width."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.wait_for_timeout(100)


def read(text: str) -> tuple[float, float, int, int]:
    """Return value, exactness, row and column of a reading."""
    found = re.match(r"(\S+) ± (\S+) at row (\d+), column (\d+) ", text)
    return float(found[1]), float(found[2]), int(found[3]), int(found[4])


def test_without_scripts_there_is_no_explorer(browser, run):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((run.path / "report.html").as_uri())
    assert not page.locator("#explorer").is_visible()
    context.close()


@pytest.mark.parametrize(("step", "key"), [("cam", "0"), ("cam", "2"), ("gradients", "input")])
def test_what_is_read_at_a_point_is_what_the_arrays_have(page, run, step, key):
    map_ = run.result(step, image=chosen(page)).maps[key]
    rows = map_.grid.rows
    canvas = figure(page, f"{step} · {key}").locator("canvas.map")
    for y, x in np.random.default_rng(0).random((7, 2)):
        pointed(page, canvas, y, x)
        value, exact, row, column = read(figure(page, f"{step} · {key}").locator(".value").inner_text())
        # One pixel of the screen, at the border of two cells, is either's.
        near = [
            {int(along.nearest[min(int((at + d) * along.pixels), along.pixels - 1)]) for d in (-0.01, 0, 0.01)}
            for along, at in zip(rows, (y, x), strict=True)
        ]
        assert row in near[0]
        assert column in near[1]
        true = float(map_.values[0, row, column])
        assert abs(value - true) <= exact + 5e-4 * abs(true)


def test_pointing_at_one_map_reads_all_others_at_the_same_place(page, run):
    image = chosen(page)
    pointed(page, figure(page, "cam · 0").locator("canvas.map"), 0.3, 0.6)
    for step, key in (("cam", "2"), ("gradients", "input")):
        value, exact, row, column = read(figure(page, f"{step} · {key}").locator(".value").inner_text())
        true = float(run.result(step, image=image).maps[key].values[0, row, column])
        assert abs(value - true) <= exact + 5e-4 * abs(true)


def test_channels_are_ordered_by_their_correlation_with_a_map(page, run):
    image = chosen(page)
    page.locator("#explorer-stack").select_option("features/2")
    page.locator("#explorer-order").select_option("rank correlation with cam · 2")
    page.wait_for_timeout(200)
    page.locator("#explorer-atlas").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    stack = run.result("features", image=image).maps["2"].values[0]
    cam = run.result("cam", image=image).maps["2"].values[0]
    exact = [spearmanr(channel.ravel(), cam.ravel()).statistic for channel in stack]
    title = page.locator("#explorer-channel figcaption b").inner_text()
    assert title == f"features · 2, channel {int(np.argmax(exact))}"
    rows = page.locator("#explorer-channel tbody tr").all_inner_texts()
    (said,) = [row for row in rows if row.startswith("rank correlation with cam · 2")]
    assert float(said.split("\t")[1]) == pytest.approx(max(exact), abs=0.005)
    assert said.split("\t")[2] == "1 of 4"


@pytest.mark.parametrize(("text", "left"), [("1-2", 2), ("0, 3", 2), ("max>-1e9", 4), ("max<-1e9", 0), ("", 4)])
def test_channels_are_filtered_by_numbers_ranges_and_bounds(page, text, left):
    page.locator("#explorer-stack").select_option("features/2")
    page.locator("#explorer-filter").fill(text)
    assert page.locator("#explorer-count").inner_text().startswith(f"{left} of 4 channels")


def test_a_filter_that_is_not_understood_is_said_to_be_invalid(page):
    page.locator("#explorer-filter").fill("maximum>3")
    assert page.locator("#explorer-filter").evaluate("input => input.validationMessage") == "not understood: maximum>3"


def test_images_are_found_and_sorted(page, run):
    listed = page.locator("#explorer-images button")
    assert listed.count() == 3
    page.locator("#explorer-list th button[data-sort=image]").click()
    ids = sorted(image.id for image in run.record.inputs)
    assert listed.all_inner_texts() == ids
    page.locator("#explorer-list th button[data-sort=image]").click()
    assert listed.all_inner_texts() == ids[::-1]
    assert page.locator("#explorer-list th[aria-sort=descending]").count() == 1
    page.locator("#explorer-find").fill(ids[1])
    assert listed.all_inner_texts() == [ids[1]]
    listed.first.click()
    page.wait_for_timeout(300)
    assert chosen(page) == ids[1]


def test_a_link_shows_the_same_again(page, browser):
    page.locator("#explorer-images button").nth(2).click()
    page.wait_for_timeout(200)
    page.locator("#explorer-scale").select_option("step")
    page.locator("#explorer-stack").select_option("features/2")
    page.locator("#explorer-between").select_option("linear")
    figure(page, "cam · 2").get_by_role("button", name="pin").click()
    pointed(page, figure(page, "cam · 2").locator("canvas.map"), 0.4, 0.7)
    page.mouse.down()
    page.mouse.up()
    page.keyboard.press("Tab")
    figure(page, "cam · 2").get_by_role("button", name="pin").focus()
    page.keyboard.press("+")
    page.wait_for_timeout(200)
    link, image = page.url, chosen(page)
    said = page.locator("#explorer .value").all_inner_texts()
    again = browser.new_page(viewport={"width": 1280, "height": 900})
    again.goto(link)
    again.locator("#explorer-pins figure").wait_for()
    again.wait_for_timeout(300)
    assert chosen(again) == image
    assert again.locator("#explorer .value").all_inner_texts() == said
    assert again.locator("#explorer-scale").input_value() == "step"
    assert again.locator("#explorer-between").input_value() == "linear"
    assert again.url == link
    again.close()


def test_a_pinned_map_is_saved_as_numpy_reads_it_and_compared_with_the_first(page, run, tmp_path: Path):
    image = chosen(page)
    for name in ("cam · 2", "cam · 0"):
        figure(page, name).get_by_role("button", name="pin").click()
    pins = page.locator("#explorer-pins figure")
    pins.nth(1).wait_for()
    with page.expect_download() as download:
        pins.nth(0).get_by_role("button", name="NPY").click()
    assert download.value.suggested_filename == f"cam-2-{image}.npy"
    download.value.save_as(tmp_path / "map.npy")
    values = np.load(tmp_path / "map.npy")
    exact = run.result("cam", image=image).maps["2"].values[0]
    np.testing.assert_allclose(values, exact, atol=np.ptp(exact) / 65534)
    first, second = (run.result("cam", image=image).maps[key].values[0] for key in ("2", "0"))
    coarse = ik.Grid.even(second.shape, (HIGH, WIDE)).averaged(second, ik.Grid.even(first.shape, (HIGH, WIDE)))
    rho = spearmanr(first.ravel(), coarse.ravel()).statistic
    assert float(pins.nth(1).locator(".rho").inner_text().rpartition(" ")[2]) == pytest.approx(rho, abs=0.005)


def test_a_table_of_channels_is_saved(page, tmp_path):
    with page.expect_download() as download:
        page.locator("#explorer-csv").click()
    download.value.save_as(tmp_path / "channels.csv")
    lines = (tmp_path / "channels.csv").read_text().splitlines()
    assert lines[0].startswith('channel,"max","min","mean"')
    assert len(lines) == 7


def test_help_opens_by_a_key_and_closes_by_escape(page):
    page.locator("#explorer-stack").focus()
    page.locator("#explorer-keys").focus()
    page.keyboard.press("?")
    assert page.locator("#explorer-help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#explorer-help").is_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
