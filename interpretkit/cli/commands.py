"""The command line: one thin function per command.

Results go to stdout, everything else to stderr. Whatever is heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interpretkit import __version__
from interpretkit.cli.failures import show_tracebacks, told
from interpretkit.cli.progress import Progress
from interpretkit.errors import CheckError, InterpretkitError, StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpretkit.cli.answers import LayersForm
    from interpretkit.contracts.registry import Registry


def _debug_option(command: Any) -> Any:
    return click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")(command)


_plugin_option = click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE.py", help="Load a Python file with hookimpls; repeatable."
)
_set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY.PATH=VALUE", help="Change a value of the recipe; repeatable."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="interpretkit")
def commands() -> None:
    """Look into vision networks: one recipe, one pass, honest pictures, runs that can be verified."""


@commands.command(short_help="Carry out a recipe.")
@click.argument("recipe")
@click.option("-i", "--image", "images", multiple=True, help="Look at this instead of the recipe's inputs; repeatable.")
@_set_option
@click.option("-o", "--output", default="runs", show_default=True, help="Directory that gets the run's directory.")
@_plugin_option
@click.option("--strict", is_flag=True, help="Exit with code 1 if a check fails.")
@click.option("--junit", metavar="FILE", help="Write steps, checks and expectations as JUnit XML, for CI.")
@_debug_option
def run(
    *,
    recipe: str,
    images: Sequence[str],
    settings: Sequence[str],
    output: str,
    plugins: Sequence[str],
    strict: bool,
    junit: str | None,
) -> None:
    """Carry out RECIPE; the last line printed is the run's directory."""
    from interpretkit.engine.carry_out import carry_out
    from interpretkit.runs import junit as of_suites
    from interpretkit.runs.files import storage_errors
    from interpretkit.runs.judged import checks_in_a_line, failing

    with Progress() as progress:
        try:
            finished = carry_out(
                recipe,
                settings=settings,
                images=images or None,
                output=output,
                plugins=plugins,
                listen=progress.show,
            )
        except KeyboardInterrupt:
            if progress.sealed:
                click.echo(progress.sealed)
            raise
    click.echo(str(finished.run.path))
    record = finished.run.record
    if junit:
        with storage_errors("write", Path(junit)):
            Path(junit).write_bytes(of_suites.junit(record, strict=strict))
    if finished.failures:
        show_tracebacks(*finished.failures)
        click.echo(f"error: the run is incomplete: {finished.failures[0]}", err=True)
        sys.exit(finished.failures[0].exit_code)
    unmet = [expectation for expectation in record.expectations if not expectation.passed]
    if unmet:
        raise CheckError(f"not as expected: {unmet[0]}")
    if strict and failing(record):
        raise CheckError(checks_in_a_line(record))


@commands.command(short_help="Say what a recipe would do and cost.")
@click.argument("recipe")
@_set_option
@_plugin_option
@_debug_option
def plan(recipe: str, settings: Sequence[str], plugins: Sequence[str]) -> None:
    """Say what RECIPE would do and cost; nothing is run and no weights are read."""
    from interpretkit.cli import answers
    from interpretkit.engine.carry_out import read_and_resolve

    resolved = read_and_resolve(recipe, settings=settings, plugins=plugins)
    click.echo(answers.plan_text(resolved))


@commands.command(short_help="Check recipes without running them.")
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...")
@_plugin_option
@_debug_option
def validate(recipes: Sequence[str], plugins: Sequence[str]) -> None:
    """Check each RECIPE: syntax, ids, every plugin's options; no model is built."""
    from interpretkit.engine.resolve import resolve
    from interpretkit.recipe.read import read_leniently

    registry = _discover(plugins)
    failures = []
    for recipe in recipes:
        try:
            resolve(read_leniently(recipe), registry)
            click.echo(f"{recipe}: ok")
        except InterpretkitError as error:
            failures.append(error)
            show_tracebacks(error)
            click.echo(told(error), err=True)
    if failures:
        sys.exit(failures[0].exit_code)


@commands.command(short_help="List the layers of a model.")
@click.argument("model_or_recipe")
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option(
    "--size",
    metavar="HEIGHTxWIDTH|N",
    help="Size of the image, DEPTHxHEIGHTxWIDTH of a volume, or N along each axis; by default what the preprocessing "
    "makes.",
)
@click.option("--tree", "form", flag_value="tree", help="Nest the layers by their paths.")
@click.option("--json", "form", flag_value="json", help="Print a JSON array.")
@_set_option
@_plugin_option
@_debug_option
def layers(
    *,
    model_or_recipe: str,
    patterns: Sequence[str],
    size: str | None,
    form: LayersForm | None,
    settings: Sequence[str],
    plugins: Sequence[str],
) -> None:
    """List the layers of a model (by id, or of each model of a recipe), in the order of execution.

    For each: its class, the shape of its output for one image, the stride and the receptive field of a cell of it in
    pixels, its parameters. No weights are read and nothing is computed.

    PATTERN is a name or a glob: `*` stays within one part of a path, `**` spans any number of parts. With a model's id,
    --set gives the model's own options: --set name=resnet50.
    """
    from interpretkit.cli import answers
    from interpretkit.engine.carry_out import blank_models, read_and_resolve
    from interpretkit.errors import Faults
    from interpretkit.model.weights.load import blank

    if model_or_recipe.endswith((".yaml", ".yml")):
        resolved = read_and_resolve(model_or_recipe, settings=settings, plugins=plugins)
        faults = Faults()
        made = blank_models(resolved, faults)
        faults.tell()
        models = {f"{key}: {resolved.models[key].builder.name}": model for key, model in made.items()}
    else:
        from interpretkit.contracts.kinds import MODEL
        from interpretkit.engine.resolve import parse_options

        found = _discover(plugins).find(MODEL, model_or_recipe)
        options = parse_options(found.offer, dict(_settings(settings)))
        models = {found.offer.name: blank(found.offer(options))}
    wanted = None if size is None else answers.read_size(size)
    click.echo(answers.layers_text(models, patterns, size=wanted, form=form or "table"))


@commands.command(short_help="List plugins and what they offer.")
@_plugin_option
@_debug_option
def plugins(plugins: Sequence[str]) -> None:
    """List the plugins, what they offer, and which are broken and why."""
    from interpretkit.cli import answers

    click.echo(answers.plugins_text(_discover(plugins)))


@commands.command(short_help="Explain what a plugin offers.")
@click.argument("name")
@_plugin_option
@_debug_option
def show(name: str, plugins: Sequence[str]) -> None:
    """Say what a visualizer, a model or anything else is, its options, what it reads and costs, what to cite."""
    from interpretkit.cli import answers

    click.echo(answers.offer_text(_discover(plugins), name))


@commands.command(short_help="List what to cite for a recipe.")
@click.argument("recipe")
@click.option("--bibtex", is_flag=True, help="Print BibTeX entries.")
@_set_option
@_plugin_option
@_debug_option
def cite(*, recipe: str, bibtex: bool, settings: Sequence[str], plugins: Sequence[str]) -> None:
    """List the papers behind all models and methods that RECIPE uses; no model is built."""
    from interpretkit.cli import answers
    from interpretkit.engine.carry_out import read_and_resolve

    resolved = read_and_resolve(recipe, settings=settings, plugins=plugins)
    if text := answers.cite_text(resolved, bibtex=bibtex):
        click.echo(text)


@commands.command(short_help="Hold attribution methods against what is known.")
@click.argument("methods", nargs=-1, metavar="[METHOD]...")
@click.option("--images", type=int, metavar="N", help="How many of the 30 images; by default all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-o", "--output", metavar="FOLDER", help="Write bench.json and bench.png there.")
@_plugin_option
@_debug_option
def bench(
    *, methods: Sequence[str], images: int | None, as_json: bool, output: str | None, plugins: Sequence[str]
) -> None:
    """Measure attribution methods where it is known what they should find, beside controls that any must beat.

    Each METHOD is the id of a visualizer; without any, all are measured. They explain the network `digits` on images
    that come along: one digit each, among fragments of others, with a mask of where it is.

    Exit code 5 if a METHOD could be measured at no layer.
    """
    from interpretkit.bench.bench import bench as measured
    from interpretkit.bench.chart import chart
    from interpretkit.bench.text import text
    from interpretkit.figures import png
    from interpretkit.runs.files import replace, storage_errors

    folder = None if output is None else Path(output)
    if folder is not None:
        with storage_errors("make", folder):
            folder.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        found = measured(methods, images=images, plugins=plugins, listen=progress.show)
    data = json.dumps(found.as_data(), indent=2, ensure_ascii=False)
    if folder is not None:
        replace(folder, "bench.json", f"{data}\n".encode())
        replace(folder, "bench.png", png(chart(found)))
    click.echo(data if as_json else text(found))
    there = {row.method for row in found.rows}
    lost = [failure for failure in found.failures if failure.method in methods and failure.method not in there]
    if lost:
        raise StepError(f"not measured: {lost[0]}")


@commands.command(short_help="Rewrite weights in their form for deployment.")
@click.argument("checkpoint")
@click.option("-o", "--output", required=True, metavar="FILE", help="The safetensors file to write.")
@click.option("--model", default="", metavar="NAME", help="Whose weights they are, if several models have such a form.")
@click.option("--key", default="", metavar="KEY", help="Which of several sets of weights in the file: state_dict_ema.")
@click.option(
    "--set", "settings", multiple=True, metavar="OPTION=VALUE", help="Set an option of the model; repeatable."
)
@_plugin_option
@_debug_option
def convert(
    *, checkpoint: str, output: str, model: str, key: str, settings: Sequence[str], plugins: Sequence[str]
) -> None:
    """Write the weights in CHECKPOINT in the form meant for deployment, and print the path.

    What the options leave open, such as the variant, is read from the checkpoint.
    """
    from interpretkit.api import convert as write_converted

    options = dict(_settings(settings))
    click.echo(str(write_converted(checkpoint, output, model=model, key=key, plugins=plugins, options=options)))


@commands.command(short_help="Check a run against its manifest.")
@click.argument("run_directory", metavar="RUN")
@_debug_option
def verify(run_directory: str) -> None:
    """Check a run directory against its manifest; exit code 1 if anything differs."""
    from pathlib import Path

    from interpretkit import words
    from interpretkit.errors import CheckError
    from interpretkit.runs.verify import verify as differences_of

    differences = differences_of(Path(run_directory))
    for difference in differences:
        click.echo(difference)
    if differences:
        count = words.count(len(differences), "difference")
        raise CheckError(f"{count} from the manifest", where=run_directory)
    click.echo(f"{run_directory}: as sealed")


@commands.command(short_help="Render the report of a run again.")
@click.argument("run_directory", metavar="RUN")
@_debug_option
def report(run_directory: str) -> None:
    """Render the report of a run again and print its path."""
    from pathlib import Path

    from interpretkit.report.page import render
    from interpretkit.runs.run import open_run
    from interpretkit.runs.verify import reseal

    opened = open_run(Path(run_directory))
    reseal(opened.path, "report.html", render(opened).encode())
    click.echo(str(opened.path / "report.html"))


@commands.command(short_help="Write a run in another form.")
@click.argument("run_directory", metavar="RUN")
@click.argument("exporter", metavar="NAME")
@click.option("-o", "--output", required=True, metavar="FOLDER", help="The folder to write into.")
@click.option(
    "--set", "settings", multiple=True, metavar="OPTION=VALUE", help="Set an option of the exporter; repeatable."
)
@_plugin_option
@_debug_option
def export(*, run_directory: str, exporter: str, output: str, settings: Sequence[str], plugins: Sequence[str]) -> None:
    """Write RUN in another form, by the exporter NAME, and print what to open.

    `interpretkit plugins` lists the exporters, `interpretkit show NAME` says what one writes. The run is not changed.
    """
    from pathlib import Path

    from interpretkit.engine.export import export as write_exported
    from interpretkit.runs.run import open_run

    opened, options = open_run(Path(run_directory)), dict(_settings(settings))
    click.echo(str(write_exported(opened, exporter, output=output, plugins=plugins, options=options)))


def _settings(texts: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    from interpretkit.errors import Faults
    from interpretkit.recipe.read import parse_setting

    faults = Faults()
    settings = []
    for number, text in enumerate(texts, start=1):
        with faults.collect():
            settings.append(parse_setting(text, number))
    faults.tell()
    return tuple(settings)


def _discover(plugins: Sequence[str]) -> Registry:

    from interpretkit.contracts.registry import discover

    return discover(plugins)
