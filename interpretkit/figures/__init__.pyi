# The public names, each with the file that defines it.

from .attributions import attribution as attribution
from .attributions import described as described
from .channels import Survey as Survey
from .channels import survey as survey
from .charts import chart as chart
from .charts import picture as picture
from .finish import panels as panels
from .finish import png as png
from .finish import stamp as stamp
from .galleries import Exhibit as Exhibit
from .galleries import gallery as gallery
from .grids import grid as grid
from .matrices import matrix as matrix
from .spaces import heatmap as heatmap
from .spaces import overlay as overlay
from .spaces import photo as photo
from .words import alt as alt
from .words import count as count
from .words import fixed as fixed
from .words import number as number
from .words import percent as percent
from .words import polarity_of as polarity_of
from .words import shape as shape
