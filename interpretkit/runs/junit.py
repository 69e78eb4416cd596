"""A run as the report of a test suite: what continuous integration shows of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from interpretkit.runs.judged import tallies

if TYPE_CHECKING:
    from interpretkit.runs.records import RunRecord

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def junit(run: RunRecord, *, strict: bool) -> bytes:
    """Return a run in JUnit's XML: a case for each step, each check of a step, and each expectation.

    A step that failed is an error; an expectation that is not met is a failure, and so is, if `strict`, a check that
    fails.

    Args:
        run: The run.
        strict: Whether checks count.

    Example:
        >>> import tempfile
        >>> from interpretkit.testing import tiny_run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = junit(tiny_run(folder).record, strict=False).decode()
        >>> text.count("<testcase "), 'failures="0"' in text
        (8, True)
    """
    suite = Element("testsuite", name=_text(run.name))
    for step in run.steps:
        case = _case(suite, run, f"step {step.id}")
        if step.error:
            kind = "skipped" if step.status == "skipped" else "error"
            SubElement(case, kind, message=_text(step.error))
    for tally in tallies(run):
        case = _case(suite, run, f"check {tally.check} of step {tally.step}")
        failed = tally.counts.get("fail", 0)
        if failed and strict:
            texts = _texts(run, tally.step, tally.check)
            SubElement(case, "failure", message=f"{failed} of {sum(tally.counts.values())} failed").text = _text(texts)
    for expectation in run.expectations:
        case = _case(suite, run, f"{expectation.name} {expectation.wanted}")
        if not expectation.passed:
            SubElement(case, "failure", message=_text(expectation.text))
    suite.set("tests", str(len(suite.findall("testcase"))))
    for kind, attribute in _COUNTED.items():
        suite.set(attribute, str(len(suite.findall(f"testcase/{kind}"))))
    if run.volatile.seconds is not None:
        suite.set("time", f"{run.volatile.seconds:.3f}")
    suites = Element("testsuites")
    suites.append(suite)
    return bytes(tostring(suites, encoding="utf-8", xml_declaration=True))


def _case(suite: Element, run: RunRecord, name: str) -> Element:
    return SubElement(suite, "testcase", classname=_text(run.name), name=_text(name))


def _texts(run: RunRecord, step: str, check: str) -> str:
    """Return what a check says of the images that it fails at, a line for each."""
    (record,) = [each for each in run.steps if each.id == step]
    failed = [each for each in record.verdicts if each.check == check and each.status == "fail"]
    return "\n".join(f"{each.image or 'all images'}: {each.text}" for each in failed)


def _text(text: str) -> str:
    """Return a text without the characters that XML has no place for."""
    return _NOT_XML.sub("�", text)
