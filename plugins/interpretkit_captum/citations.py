"""The papers that describe the methods, and the library that computes them."""

from __future__ import annotations

from interpretkit import Citation

CAPTUM = Citation(
    key="kokhlikyan2020captum",
    authors="Kokhlikyan, Narine and Miglani, Vivek and Martin, Miguel and Wang, Edward and Alsallakh, Bilal and "
    "Reynolds, Jonathan and Melnikov, Alexander and Kliushkina, Natalia and Araya, Carlos and Yan, Siqi and "
    "Reblitz-Richardson, Orion",
    title="Captum: A Unified and Generic Model Interpretability Library for PyTorch",
    venue="",
    year=2020,
    kind="misc",
    arxiv="2009.07896",
    remark="the implementation",
)
SALIENCY = Citation(
    key="simonyan2014deep",
    authors="Simonyan, Karen and Vedaldi, Andrea and Zisserman, Andrew",
    title="Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps",
    venue="ICLR Workshop",
    year=2014,
    arxiv="1312.6034",
)
INPUT_X_GRADIENT = Citation(
    key="shrikumar2016not",
    authors="Shrikumar, Avanti and Greenside, Peyton and Shcherbina, Anna and Kundaje, Anshul",
    title="Not Just a Black Box: Learning Important Features Through Propagating Activation Differences",
    venue="",
    year=2016,
    kind="misc",
    arxiv="1605.01713",
)
INTEGRATED_GRADIENTS = Citation(
    key="sundararajan2017axiomatic",
    authors="Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi",
    title="Axiomatic Attribution for Deep Networks",
    venue="ICML",
    year=2017,
    arxiv="1703.01365",
)
SMOOTH_GRAD = Citation(
    key="smilkov2017smoothgrad",
    authors="Smilkov, Daniel and Thorat, Nikhil and Kim, Been and Viégas, Fernanda and Wattenberg, Martin",
    title="SmoothGrad: Removing Noise by Adding Noise",
    venue="",
    year=2017,
    kind="misc",
    arxiv="1706.03825",
)
VAR_GRAD = Citation(
    key="adebayo2018local",
    authors="Adebayo, Julius and Gilmer, Justin and Goodfellow, Ian and Kim, Been",
    title="Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter Values",
    venue="ICLR Workshop",
    year=2018,
    arxiv="1810.03307",
)
GUIDED_BACKPROP = Citation(
    key="springenberg2015striving",
    authors="Springenberg, Jost Tobias and Dosovitskiy, Alexey and Brox, Thomas and Riedmiller, Martin",
    title="Striving for Simplicity: The All Convolutional Net",
    venue="ICLR Workshop",
    year=2015,
    arxiv="1412.6806",
)
DECONVOLUTION = Citation(
    key="zeiler2014visualizing",
    authors="Zeiler, Matthew D. and Fergus, Rob",
    title="Visualizing and Understanding Convolutional Networks",
    venue="ECCV",
    year=2014,
    arxiv="1311.2901",
)
GRAD_CAM = Citation(
    key="selvaraju2017gradcam",
    authors="Selvaraju, Ramprasaath R. and Cogswell, Michael and Das, Abhishek and Vedantam, Ramakrishna and "
    "Parikh, Devi and Batra, Dhruv",
    title="Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
    venue="ICCV",
    year=2017,
    arxiv="1610.02391",
)
DEEP_LIFT = Citation(
    key="shrikumar2017learning",
    authors="Shrikumar, Avanti and Greenside, Peyton and Kundaje, Anshul",
    title="Learning Important Features Through Propagating Activation Differences",
    venue="ICML",
    year=2017,
    arxiv="1704.02685",
)
SHAP = Citation(
    key="lundberg2017unified",
    authors="Lundberg, Scott M. and Lee, Su-In",
    title="A Unified Approach to Interpreting Model Predictions",
    venue="NeurIPS",
    year=2017,
    arxiv="1705.07874",
)
SHAPLEY_SAMPLING = Citation(
    key="castro2009polynomial",
    authors="Castro, Javier and Gómez, Daniel and Tejada, Juan",
    title="Polynomial Calculation of the Shapley Value Based on Sampling",
    venue="Computers & Operations Research",
    year=2009,
    kind="article",
    doi="10.1016/j.cor.2008.04.004",
)
LIME = Citation(
    key="ribeiro2016why",
    authors="Ribeiro, Marco Tulio and Singh, Sameer and Guestrin, Carlos",
    title="“Why Should I Trust You?”: Explaining the Predictions of Any Classifier",
    venue="KDD",
    year=2016,
    arxiv="1602.04938",
)
SLIC = Citation(
    key="achanta2012slic",
    authors="Achanta, Radhakrishna and Shaji, Appu and Smith, Kevin and Lucchi, Aurelien and Fua, Pascal and "
    "Süsstrunk, Sabine",
    title="SLIC Superpixels Compared to State-of-the-Art Superpixel Methods",
    venue="IEEE TPAMI",
    year=2012,
    kind="article",
    doi="10.1109/TPAMI.2012.120",
    remark="the superpixels",
)
LRP = Citation(
    key="bach2015pixel",
    authors="Bach, Sebastian and Binder, Alexander and Montavon, Grégoire and Klauschen, Frederick and "
    "Müller, Klaus-Robert and Samek, Wojciech",
    title="On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation",
    venue="PLOS ONE",
    year=2015,
    kind="article",
    doi="10.1371/journal.pone.0130140",
)
LRP_RULES = Citation(
    key="montavon2019layer",
    authors="Montavon, Grégoire and Binder, Alexander and Lapuschkin, Sebastian and Samek, Wojciech and "
    "Müller, Klaus-Robert",
    title="Layer-Wise Relevance Propagation: An Overview",
    venue="Explainable AI, Springer",
    year=2019,
    kind="incollection",
    doi="10.1007/978-3-030-28954-6_10",
    remark="the rules",
)
CONDUCTANCE = Citation(
    key="dhamdhere2019how",
    authors="Dhamdhere, Kedar and Sundararajan, Mukund and Yan, Qiqi",
    title="How Important Is a Neuron?",
    venue="ICLR",
    year=2019,
    arxiv="1805.12233",
)
INTERNAL_INFLUENCE = Citation(
    key="leino2018influence",
    authors="Leino, Klas and Sen, Shayak and Datta, Anupam and Fredrikson, Matt and Li, Linyi",
    title="Influence-Directed Explanations for Deep Convolutional Networks",
    venue="ITC",
    year=2018,
    arxiv="1802.03788",
)
