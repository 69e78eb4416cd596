from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
import torch
from PIL import Image
from torch import nn

import interpretkit as ik
from interpretkit.report import page as report
from interpretkit.report.page import LISTED
from interpretkit.runs.manifest import read_record
from interpretkit.runs.run import Run

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<script>document.title='owned'</script>{{7*7}}</script><img src=x onerror=alert(1)>\"'&"
PLUGIN = {"package": "interpretkit_cam", "distribution": "interpretkit", "version": "0.1.0"}
ALERT = "RepVGG-B0: RANDOM WEIGHTS: nothing here was learned (the hub could not be reached)."


def render(directory: Path, manifest: dict) -> str:
    manifest = {"files": {}, **manifest}
    return report.render(Run(directory, manifest, read_record(manifest, where=directory)))


def picture(path: Path, width: int, height: int) -> str:
    """Draw a paletted PNG as those of real runs are: a white sheet with a dark square on it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = Image.new("P", (width, height), 255)
    sheet.putpalette([value for grey in range(256) for value in (grey, grey, grey)])
    sheet.paste(90, (width // 8, height // 8, width // 2, height // 2))
    sheet.save(path)
    return path.name


def prediction(index: int, label: str, logit: float, probability: float) -> dict:
    return {"index": index, "label": label, "logit": logit, "probability": probability}


def a_model(name: str, *, notes: tuple[str, ...] = ()) -> dict:
    return {
        "name": name,
        "uses": "repvgg",
        "plugin": {**PLUGIN, "package": "interpretkit_repvgg"},
        "options": {"variant": "B0", "form": "train"},
        "weights": {
            "kind": "random" if "untrained" in notes else "hub",
            "source": "timm/repvgg_b0.rvgg_in1k",
            "sha256": "5f" * 32,
            "fallback": "",
            "state_sha256": "a1" * 32,
        },
        "notes": list(notes),
        "alert": ALERT if "untrained" in notes else "",
        "preprocessing": {"resize": 256, "crop": 224, "mean": [0.485, 0.456, 0.406], "interpolation": "bilinear"},
        "parameters": 15_817_960,
        "classes": 1000,
    }


def an_input(directory: Path, image: str, models: list[str], *, label: str | None = None) -> dict:
    pictures = {key: f"inputs/{image}--{key}.png" for key in models}
    for file in pictures.values():
        picture(directory / file, 224, 224)
    top = [
        prediction(652, "military uniform", 9.4321, 0.5871),
        prediction(457, "bow tie", 8.1, 0.154),
        prediction(834, "suit", 7.3, 0.07),
        prediction(906, "Windsor tie", 6.6, 0.0344),
        prediction(715, "pickelhaube", 5.9, 0.0171),
    ]
    return {
        "id": image,
        "source": f"photos/{image}.jpg",
        "sha256": hashlib.sha256(image.encode()).hexdigest(),
        "size": [517, 606],
        "conversions": ["rotated as EXIF says", "CMYK to RGB"],
        "label": label,
        "pictures": pictures,
        "predictions": dict.fromkeys(models, top),
    }


def a_step(step: str, uses: str, **more) -> dict:
    entry = {
        "id": step,
        "uses": uses,
        "plugin": PLUGIN,
        "model": "model",
        "of": [],
        "options": {"layers": ["stage4"], "target": "predicted"},
        "layers": ["stage4"],
        "scope": "image",
        "status": "complete",
        "error": "",
        "targets": {},
        "maps": [],
        "tables": [],
        "figures": [],
    }
    return entry | more


def a_figure(directory: Path, step: str, image: str | None, name: str, *, size: tuple[int, int] = (640, 320)) -> dict:
    file = f"figures/{step}/{image or 'all'}--{name}.png"
    picture(directory / file, *size)
    caption = f"Layer {name}, 7×7 cells drawn nearest, one scale for the layer."
    return {"file": file, "image": image, "name": name, "caption": caption, "alt": f"{name} is greatest at (3, 4)."}


def a_table(directory: Path, step: str, *, rows: int) -> dict:
    file = f"results/{step}/channels.csv"
    (directory / file).parent.mkdir(parents=True, exist_ok=True)
    with (directory / file).open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(["layer", "channel", "mean", "dead"])
        writer.writerows(["stage4", index, index * 1234.56789 / 7, index % 3 == 0] for index in range(rows))
    columns = {"layer": "str", "channel": "int64", "mean": "float64", "dead": "bool"}
    return {"file": file, "name": "channels", "rows": rows, "columns": columns, "sha256": "00" * 32}


def a_target() -> dict:
    return {
        "index": 652,
        "label": "military uniform",
        "score": 9.4321,
        "probability": 0.5871,
        "against": None,
        "against_label": "",
    }


def a_run(directory: Path, *, images: int = 2) -> dict:
    """Write what a run leaves in `directory`, and return its manifest as it is when the report is made."""
    (directory / "recipe.yaml").write_text("name: demo\n", encoding="utf-8")
    (directory / "resolved.yaml").write_text("name: demo\n", encoding="utf-8")
    ids = [f"photo{index}" for index in range(images)]
    gradcam_map = {
        "file": "results/gradcam/photo0.safetensors",
        "key": "stage4",
        "image": "photo0",
        "dims": ["image", "y", "x"],
        "shape": [1, 7, 7],
        "dtype": "float32",
        "layer": "stage4",
        "input_size": [224, 224],
        "polarity": "signed",
        "sha256": "cc" * 32,
    }
    (directory / "results/gradcam").mkdir(parents=True)
    (directory / "results/gradcam/photo0.safetensors").write_bytes(b"")
    return {
        "schema": "interpretkit-run/1",
        "name": "repvgg_b0",
        "id": "repvgg_b0-20260101-120000-abc123",
        "status": "failed",
        "interpretkit": "0.1.0",
        "command": "interpretkit run recipes/repvgg_b0.yaml --set numerics.seed=1",
        "recipe": {"source": "recipes/repvgg_b0.yaml", "sha256": "bb" * 32},
        "alerts": [ALERT],
        "models": {"model": a_model("RepVGG-B0", notes=("untrained",)), "after": a_model("RepVGG-B0-deploy")},
        "inputs": [an_input(directory, image, ["model", "after"], label="suit") for image in ids],
        "steps": [
            a_step(
                "features",
                "feature_grid",
                figures=[
                    a_figure(directory, "features", image, layer, size=size)
                    for image in ids
                    for layer, size in (("stage1", (2400, 1500)), ("stage4", (640, 320)))
                ],
            ),
            a_step(
                "gradcam",
                "grad_cam",
                targets=dict.fromkeys(ids, a_target()),
                figures=[a_figure(directory, "gradcam", image, "stage4") for image in ids],
                maps=[gradcam_map],
            ),
            a_step(
                "statistics",
                "channel_stats",
                scope="set",
                model="after",
                tables=[a_table(directory, "statistics", rows=300)],
                figures=[a_figure(directory, "statistics", None, "profile")],
            ),
            a_step("agreement", "compare", model="after", of=["gradcam"], status="failed", error="it broke"),
            a_step("later", "compare", of=["agreement"], status="skipped", error="agreement failed"),
        ],
        "numerics": {"device": "cpu", "dtype": "float32", "seed": 0, "deterministic": True},
        "environment": {"python": "3.11.9", "cpus": 2, "packages": {"torch": "2.14.0", "timm": None}},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    manifest = a_run(directory)
    return directory, manifest


@pytest.fixture(scope="module")
def html(run):
    return render(*run)


class Page(HTMLParser):
    """What the tests ask of a page: its tags, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def values(self, tag: str, attribute: str) -> list[str]:
        return [
            attributes[attribute] or "" for name, attributes in self.tags if name == tag and attribute in attributes
        ]


def test_the_same_run_gives_the_same_bytes_also_once_its_manifest_was_written(run):
    directory, manifest = run
    first = render(directory, manifest)
    sealed = {
        **json.loads(json.dumps(manifest)),
        "files": {"recipe.yaml": "00"},
        "volatile": {"seconds": 12345.678},
        "seal": "5ea1" * 16,
    }
    assert render(directory, sealed) == first


def test_the_page_holds_no_script_and_refuses_everything_but_its_own_style_and_embedded_images(html):
    page = Page(html)
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on") or key == "style"]
    assert all(source.startswith("data:image/png;base64,") for source in page.values("img", "src"))
    policy = next(a["content"] for name, a in page.tags if name == "meta" and "http-equiv" in a)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'")


def every_text_hostile(value, *, keep: frozenset[str]):
    """Return `value` with hostile text before all text but that of some keys: those that lead through the run."""
    if isinstance(value, dict):
        return {key: each if key in keep else every_text_hostile(each, keep=keep) for key, each in value.items()}
    if isinstance(value, list):
        return [every_text_hostile(each, keep=keep) for each in value]
    return HOSTILE + value if isinstance(value, str) and value else value


@pytest.fixture(scope="module")
def hostile(run):
    directory, manifest = run
    keep = frozenset(
        {"file", "pictures", "id", "image", "of", "status", "schema", "columns", "notes", "scope", "polarity"}
    )
    manifest = every_text_hostile(manifest, keep=keep)
    for step, given in zip(manifest["steps"], run[1]["steps"], strict=True):
        step["model"] = given["model"]
    return directory, manifest


def test_hostile_text_stands_in_the_page_as_it_is(html, hostile):
    directory, manifest = hostile
    page, honest = Page(render(directory, manifest)), Page(html)
    assert [name for name, _ in page.tags] == [name for name, _ in honest.tags]
    for text in (manifest["name"], manifest["steps"][3]["error"], manifest["inputs"][0]["label"], manifest["command"]):
        assert text.startswith(HOSTILE)
        assert " ".join(text.split()) in page.text


def a_minimal_run() -> dict:
    return {"status": "interrupted", "models": {}, "inputs": [], "steps": [], "alerts": []}


def test_a_run_that_was_interrupted_before_its_first_image_has_a_report(run, tmp_path):
    page = Page(render(tmp_path, {**run[1], **a_minimal_run()}))
    assert "The run was interrupted" in page.text
    assert "No image was processed." in page.text
    assert "recipe.yaml (missing)" in page.text


def section(html: str, step: str) -> str:
    return Page(re.search(rf'<section class="step" id="step-{step}".*?</section>', html, re.DOTALL)[0]).text


def test_an_alert_stands_above_everything_and_at_each_step_that_it_concerns(html):
    assert html.index('<div class="alerts"') < html.index("<h1>")
    concerned = {step for step in ("features", "gradcam", "statistics", "agreement") if ALERT in section(html, step)}
    assert concerned == {"features", "gradcam", "agreement"}  # the last one reads gradcam


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("gradcam", "one for each of 2 images"),
        ("gradcam", "logit of “military uniform” (class 652) = 9.432, probability 0.587"),
        ("gradcam", "stage4 photo0 image, y, x 1 × 7 × 7 float32 signed results/gradcam/photo0.safetensors"),
        ("agreement", "Failed it broke"),
        ("agreement", "Reads gradcam Options"),
        ("later", "Not run agreement failed"),
        ("statistics", "all 2 images together"),
        ("statistics", "12 of 300 rows; all in results/statistics/channels.csv"),
        ("statistics", f"Rows 13 to {LISTED}"),
        ("statistics", "layer channel mean dead stage4 0 0 True stage4 1 176.4 False"),
    ],
)
def test_a_step_says(html, step, expected):
    assert expected in section(html, step)


@pytest.mark.parametrize(
    "expected",
    [
        "failed 2 images · 2 models · 5 steps, 2 not complete : agreement , later",
        "photo0 517 × 606 pixels · label “suit”",
        "military uniform 652 0.587 9.432",
        "Weights random, in place of timm/repvgg_b0.rvgg_in1k",
        "SHA-256 of the state " + "a1" * 32,
        "Parameters 15,817,960",
        "resize 256 crop 224 mean 0.485, 0.456, 0.406 interpolation bilinear",
        "photos/photo1.jpg 517 × 606 rotated as EXIF says, CMYK to RGB",
        "deterministic yes",
        "packages: torch 2.14.0 packages: timm none",
        "interpretkit run recipes/repvgg_b0.yaml --set numerics.seed=1",
        "interpretkit verify repvgg_b0-20260101-120000-abc123",
    ],
)
def test_the_report_says(html, expected):
    assert expected in Page(html).text


@pytest.mark.parametrize(
    "file",
    ["figures/gone.png", "../outside.png", "link.png", "text.png", "a\0b.png", "x" * 5000, "", "javascript:alert(1)"],
)
def test_a_figure_that_is_missing_or_outside_the_directory_is_reported_and_nothing_is_embedded(tmp_path, run, file):
    directory = tmp_path / "run"
    directory.mkdir()
    picture(tmp_path / "outside.png", 8, 8)
    (directory / "link.png").symlink_to(tmp_path / "outside.png")
    (directory / "text.png").write_text("no picture", encoding="utf-8")
    table = {"file": file, "name": "channels", "rows": 3, "columns": {}, "sha256": ""}
    broken = {"file": file, "image": None, "name": "stage4", "caption": "", "alt": ""}
    step = a_step("gradcam", "grad_cam", figures=[broken], tables=[table] if "text" not in file else [])
    page = Page(render(directory, {**run[1], "inputs": [], "steps": [step]}))
    assert f"Missing: {' '.join(file.split())}".strip() in page.text
    assert not page.values("img", "src")
    assert not [href for href in page.values("a", "href") if not href.startswith("#") and href != "manifest.json"]


def test_links_to_files_survive_odd_names(tmp_path, run):
    entry = a_figure(tmp_path, "gradcam", None, "50% #1?")
    page = Page(render(tmp_path, {**run[1], "inputs": [], "steps": [a_step("gradcam", "grad_cam", figures=[entry])]}))
    links = [unquote(href) for href in page.values("a", "href") if "%23" in href and "%3F" in href]
    assert links == [entry["file"]]


def test_of_many_images_the_first_are_embedded_and_the_others_linked(tmp_path, monkeypatch):
    monkeypatch.setattr("interpretkit.report.page.EMBEDDED_IMAGES", 3)
    monkeypatch.setattr("interpretkit.report.page.LISTED", 4)
    manifest = a_run(tmp_path, images=1)
    manifest["models"] = {"model": a_model("tiny")}
    manifest["alerts"] = []
    count = 3 + 4 + 5
    first = manifest["inputs"][0]
    manifest["inputs"] = [{**first, "id": f"photo{index}"} for index in range(count)]
    for index in range(count):
        picture(tmp_path / f"figures/gradcam/photo{index}--stage4.png", 10, 10)
    figures = [
        {
            "file": f"figures/gradcam/photo{i}--stage4.png",
            "image": f"photo{i}",
            "name": "stage4",
            "caption": "",
            "alt": "",
        }
        for i in range(count)
    ]
    manifest["steps"] = [a_step("gradcam", "grad_cam", figures=figures)]
    html = render(tmp_path, manifest)
    page = Page(html)
    assert html.count("<figure>") == 3
    assert "embeds the figures of the first 3 of 12 images" in page.text
    assert "Figures of 9 more images, as files" in page.text
    assert "5 more images in the same folder" in page.text
    linked = [href for href in page.values("a", "href") if href.endswith("--stage4.png")]
    assert len(linked) == 3 + 4


def test_large_figures_leave_fewer_images_embedded_but_always_one(tmp_path, monkeypatch):
    manifest = a_run(tmp_path, images=3)
    monkeypatch.setattr("interpretkit.report.page.EMBEDDED_BYTES", 1)
    page = Page(render(tmp_path, manifest))
    assert "embeds the figures of the first 1 of 3 images" in page.text


@pytest.fixture(scope="module")
def page(browser, hostile):
    """The report of the hostile run, opened as by a double click; it keeps what the browser objects to."""
    directory, manifest = hostile
    report = directory / "report.html"
    report.write_text(render(directory, manifest), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.heard, page.requested = [], []
    page.on("console", lambda message: page.heard.append(message.text))
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("dialog", lambda dialog: page.heard.append("dialog"))
    page.on("request", lambda request: page.requested.append(request.url))
    page.goto(report.as_uri(), wait_until="load")
    yield page
    page.close()


def test_in_a_browser_nothing_is_executed_requested_or_objected_to(page):
    assert page.heard == []
    assert [url for url in page.requested if not url.startswith("data:")] == [page.url]
    assert page.title().startswith(HOSTILE.split(" ", maxsplit=1)[0])
    assert page.locator("script").count() == 0


def test_in_a_browser_every_image_is_drawn_and_has_alt_text(page):
    images = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt.trim().length])")
    assert len(images) == 2 * 2 + 2 * 2 + 2 + 1
    assert all(width > 0 and alt > 0 for width, alt in images)


@pytest.mark.parametrize("width", [360, 390, 800, 1280])
def test_in_a_browser_nothing_sticks_out_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_in_a_browser_headings_are_in_order_and_every_anchor_resolves(page):
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    targets = page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => decodeURIComponent(a.hash.slice(1)))"
    )
    assert len(targets) > 10
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert set(targets) <= set(ids)
    assert {"header", "nav", "main", "footer"} <= set(
        page.evaluate("[...document.body.querySelectorAll('*')].map(e => e.localName)")
    )


def test_in_a_browser_a_wide_figure_opens_at_full_size_and_closes_by_keyboard(page):
    page.set_viewport_size({"width": 1280, "height": 900})
    figure = page.locator(".canvas.wide").first
    drawn = "i => i.getBoundingClientRect().width"
    assert figure.locator("img").evaluate(drawn) < 1000
    figure.locator("input").focus()
    page.keyboard.press("Space")
    assert figure.locator("img").evaluate(drawn) == 2400
    page.keyboard.press("Space")
    assert figure.locator("img").evaluate(drawn) < 1000


CONTRASTS = """() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.getClientRects().length) continue;
    const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${e.localName}.${e.className}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_all_text_has_a_contrast_of_at_least_4_5(page, scheme):
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate(CONTRASTS) == []


def test_verdicts_stand_in_their_step_what_did_not_pass_first(tmp_path):
    manifest = a_run(tmp_path)
    step = next(each for each in manifest["steps"] if each["id"] == "gradcam")
    step["verdicts"] = [
        {
            "check": "inside",
            "image": "photo0",
            "status": "pass",
            "figure": 0.75,
            "threshold": 0.5,
            "text": "75 % inside",
        },
        {"check": "inside", "image": "photo1", "status": "fail", "figure": 0.1, "threshold": 0.5, "text": HOSTILE},
        {
            "check": "whole",
            "image": None,
            "status": "warn",
            "figure": None,
            "threshold": 2.0,
            "text": "nothing to judge",
        },
    ]
    page = render(tmp_path, manifest)
    section = page[page.index('id="step-gradcam"') : page.index('id="step-statistics"')]
    assert "Checks: 3 verdicts, of which 2 did not pass." in section
    assert "1 check passed" in section
    rows = re.findall(r'<tr><td>(inside|whole)</td><td>(\w+)</td><td><span class="badge (\w+)">', section)
    assert rows == [("inside", "photo1", "fail"), ("whole", "all", "warn"), ("inside", "photo0", "pass")]
    assert re.findall(r'<td class="n">([^<]+)</td><td class="n">([^<]+)</td></tr>', section)[:2] == [
        ("0.1000", "0.5000"),
        ("–", "2.000"),
    ]
    assert "<script>" not in page
    assert page.count("Checks: ") == 1


@pytest.mark.parametrize(
    ("output", "listed"), [(ik.Values(names=("age",)), False), (ik.Labels(names=("ill",), returns="logits"), True)]
)
def test_what_has_no_probability_gets_no_column_for_one(output, listed, tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "{schema: interpretkit/1, name: n, model: {uses: repvgg}, inputs: [sample:grace_hopper], "
        "steps: [{id: map, uses: saliency}]}"
    )
    run = ik.run(recipe, model=ik.wrap(net.eval(), output=output), images=torch.rand(1, 3, 8, 8), output=tmp_path)
    page = (run.path / "report.html").read_text()
    assert ('class="n">probability</th>' in page) == listed
    assert f"<td>{output.names[0]}" in page
