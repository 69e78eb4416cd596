"""Where a layer is busy: one visualizer, published as a plugin."""

from interpretkit import Figure, Needs, Result, Visualizer, figures, hookimpl
from pydantic import Field


class ActivationEnergy(Visualizer):
    """Root mean square over the channels of a layer: where it is busy, whatever for."""

    name = "activation_energy"
    citations = {"zagoruyko2017paying": "section 3.1, sums of squares over channels"}

    class Options(Visualizer.Options):
        layers: list[str] = Field(description="layers to look at")

    def needs(self):
        return Needs(activations=self.options.layers)

    def compute(self, captured):
        energy = {layer: values.square().mean(1).sqrt() for layer, values in captured.activations.items()}
        return Result(maps={layer: captured.map(layer, each, polarity="unsigned") for layer, each in energy.items()})

    def draw(self, result):
        for layer, each in result.maps.items():
            picture = figures.heatmap(each.values[0], title=f"energy of {layer}", polarity=each.polarity)
            alt = figures.alt(each.values[0], what=f"energy of {layer}")
            yield Figure(name=layer, picture=picture, caption=f"RMS over the channels of {layer}.", alt=alt)


@hookimpl
def interpretkit_visualizers():
    yield ActivationEnergy
