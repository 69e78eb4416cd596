"""Run directories: built out of sight, sealed in one move, then opened and verified.

runs/<name>-<time>-<id>/
  recipe.yaml  resolved.yaml
  inputs/<image>[--<model>].png
  results/<step>/<image>.safetensors      maps of one image; maps.safetensors for the whole set
  results/<step>/<table>.csv
  figures/<step>/<image>--<name>.png      <name>.png for the whole set
  report.html
  manifest.json                           written last: hashes of everything above
  events.jsonl                            times and progress; not hashed
"""

from __future__ import annotations

from interpretkit.rundir.manifest import SCHEMA
from interpretkit.rundir.reading import Run, open_run
from interpretkit.rundir.verifying import reseal, verify
from interpretkit.rundir.writing import Draft, create

__all__ = ["SCHEMA", "Draft", "Run", "create", "open_run", "reseal", "verify"]
