# The public names, each with the file that defines it.

from .api import convert as convert
from .api import draw as draw
from .api import load_model as load_model
from .api import open_run as open_run
from .api import run as run
from .api import visualize as visualize
from .api import wrap as wrap
from .contracts.builder import ModelBuilder as ModelBuilder
from .contracts.captured import Captured as Captured
from .contracts.citations import Citation as Citation
from .contracts.hooks import hookimpl as hookimpl
from .contracts.needs import Needs as Needs
from .contracts.offer import Options as Options
from .contracts.visualizer import Reduction as Reduction
from .contracts.visualizer import Visualizer as Visualizer
from .engine.events import Event as Event
from .errors import CheckError as CheckError
from .errors import InputError as InputError
from .errors import InterpretkitError as InterpretkitError
from .errors import PluginError as PluginError
from .errors import RecipeError as RecipeError
from .errors import StepError as StepError
from .errors import StorageError as StorageError
from .errors import WeightsError as WeightsError
from .errors import did_you_mean as did_you_mean
from .model.baselines import Baseline as Baseline
from .model.layout import Layout as Layout
from .model.model import Model as Model
from .model.preprocessing import Preprocessing as Preprocessing
from .model.weights.published import Published as Published
from .model.weights.state import load_state as load_state
from .results.figure import Figure as Figure
from .results.image import InputImage as InputImage
from .results.map import Map as Map
from .results.result import Result as Result
from .results.table import Table as Table
from .results.targets import Contrast as Contrast
from .results.targets import Target as Target
from .results.targets import TargetSpec as TargetSpec
from .results.targets import Top as Top
from .runs.run import Run as Run

__version__: str
