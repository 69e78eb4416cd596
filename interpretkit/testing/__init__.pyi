# The public names, each with the file that defines it.

from .checks import check_model as check_model
from .checks import check_visualizer as check_visualizer
from .checks import checks_of as checks_of
from .named import NamedCheck as NamedCheck
from .tiny import tiny_images as tiny_images
from .tiny import tiny_model as tiny_model
from .tiny import tiny_run as tiny_run
