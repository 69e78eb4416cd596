"""The names that parameters have in the checkpoints of others, as official ones."""

from __future__ import annotations

import re

_FIRST_PARTS = ("stage", "stem", "head", "linear")

# timm counts stages from 0 and has them under one name; its names and those of MMPretrain stand side by side.
_TO_OFFICIAL = tuple(
    (re.compile(pattern), official)
    for pattern, official in (
        (r"^backbone\.", ""),
        (r"^stem\.", "stage0."),
        (r"^stages\.0\.", "stage1."),
        (r"^stages\.1\.", "stage2."),
        (r"^stages\.2\.", "stage3."),
        (r"^stages\.3\.", "stage4."),
        (r"^stage_(\d)\.", r"stage\1."),
        (r"^(head\.)?fc\.", "linear."),
        (r"\.(conv_kxk|branch_3x3)\.", ".rbr_dense."),
        (r"\.(conv_1x1|branch_1x1)\.", ".rbr_1x1."),
        (r"\.(identity|branch_norm)\.", ".rbr_identity."),
        (r"\.(reparam_conv|branch_reparam)\.", ".rbr_reparam."),
        (r"\.(rbr_dense|rbr_1x1)\.norm\.", r".\1.bn."),
        (r"\.(attn\.fc1|se_layer\.conv1\.conv)\.", ".se.down."),
        (r"\.(attn\.fc2|se_layer\.conv2\.conv)\.", ".se.up."),
    )
)


def official_name(name: str) -> str:
    """Return the official name of a parameter of timm or MMPretrain; any other name as it is.

    Example:
        >>> official_name("stages.0.3.conv_kxk.bn.weight"), official_name("backbone.stage_1.3.branch_3x3.norm.weight")
        ('stage1.3.rbr_dense.bn.weight', 'stage1.3.rbr_dense.bn.weight')
    """
    for pattern, official in _TO_OFFICIAL:
        name = pattern.sub(official, name)
    return name


def is_known(name: str) -> bool:
    """Return whether a name, as it stands, may be that of a parameter of a RepVGG in one of the libraries.

    Example:
        >>> is_known("stage0.rbr_reparam.bias"), is_known("module.stage0.rbr_reparam.bias"), is_known("weight")
        (True, False, False)
    """
    first, dot, _ = official_name(name).partition(".")
    return bool(dot) and first.startswith(_FIRST_PARTS)
