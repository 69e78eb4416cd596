"""The papers on RepVGG and on what is read out of it."""

from __future__ import annotations

from interpretkit import Citation

REPVGG = Citation(
    key="ding2021repvgg",
    authors="Ding, Xiaohan and Zhang, Xiangyu and Ma, Ningning and Han, Jungong and Ding, Guiguang and Sun, Jian",
    title="RepVGG: Making VGG-style ConvNets Great Again",
    venue="CVPR",
    year=2021,
    arxiv="2101.03697",
)
CAM = Citation(
    key="zhou2016cam",
    authors="Zhou, Bolei and Khosla, Aditya and Lapedriza, Agata and Oliva, Aude and Torralba, Antonio",
    title="Learning Deep Features for Discriminative Localization",
    venue="CVPR",
    year=2016,
    arxiv="1512.04150",
    remark="the maps",
)
BATCH_NORM = Citation(
    key="ioffe2015batch",
    authors="Ioffe, Sergey and Szegedy, Christian",
    title="Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    venue="ICML",
    year=2015,
    arxiv="1502.03167",
)
MOMENTS = Citation(
    key="chan1982updating",
    authors="Chan, Tony F. and Golub, Gene H. and LeVeque, Randall J.",
    title="Updating Formulae and a Pairwise Algorithm for Computing Sample Variances",
    venue="COMPSTAT",
    year=1982,
    doi="10.1007/978-3-642-51461-6_3",
    remark="the merging of moments",
)
