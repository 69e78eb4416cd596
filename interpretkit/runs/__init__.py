"""Run directories: written out of sight, sealed in one move, opened, verified.

runs/<name>-<time>-<id>/
  recipe.yaml  resolved.yaml
  inputs/<image>[--<model>].png
  results/<step>/<image>.safetensors      maps of one image; maps.safetensors for the whole set
  results/<step>/<table>.csv
  figures/<step>/<image>--<name>.png      <name>.png for the whole set
  report.html
  manifest.json                           written last: hashes of everything above
  journal.jsonl                           records as they were written, with their times; not hashed
"""
