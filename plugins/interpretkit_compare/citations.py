"""The papers that several comparisons or scores implement."""

from __future__ import annotations

from interpretkit import Citation

SSIM = Citation(
    key="wang2004image",
    authors="Wang, Zhou and Bovik, Alan C. and Sheikh, Hamid R. and Simoncelli, Eero P.",
    title="Image Quality Assessment: From Error Visibility to Structural Similarity",
    venue="IEEE Transactions on Image Processing",
    year=2004,
    kind="article",
    doi="10.1109/TIP.2003.819861",
    remark="structural similarity",
)
SENSITIVITY_AND_INFIDELITY = Citation(
    key="yeh2019infidelity",
    authors="Yeh, Chih-Kuan and Hsieh, Cheng-Yu and Suggala, Arun Sai and Inouye, David I. and Ravikumar, Pradeep",
    title="On the (In)fidelity and Sensitivity of Explanations",
    venue="NeurIPS",
    year=2019,
    arxiv="1901.09392",
)
