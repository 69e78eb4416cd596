"""The checks that authors of models test with: each finds what it is for, and that alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interpretkit as ik
from interpretkit.testing import check_model, checks_of


class Sound(ik.ModelBuilder):
    """Keeps the contract."""

    name = "sound_net"

    class Options(ik.ModelBuilder.Options):
        width: int = 4
        """Channels."""

    def build(self, state):
        net = self.net()
        if state is not None:
            ik.load_state(net, state)
        return self.model(net)

    def net(self):
        width = self.options.width
        net = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return net.append(nn.Linear(width, 2))

    def model(self, net, names=("round", "flat")):
        preprocessing = ik.Preprocessing(resize=None, crop=None)
        outputs = {"classes": ik.Classes(names=names)}
        aliases = {"features": "1"}
        return ik.Model(module=net, name="Sound", preprocessing=preprocessing, outputs=outputs, aliases=aliases)


class OtherOnMeta(Sound):
    def net(self):
        net = super().net()
        return net if net[0].weight.device.type == "cpu" else net.append(nn.Linear(2, 2))


class Unseeded(Sound):
    def net(self):
        net = super().net()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.seed()
            net[0].bias.copy_(torch.rand(4))
        return net


class Forgets(Sound):
    def build(self, state):
        net = self.net()
        if state is not None:
            ik.load_state(net, state)
            with torch.no_grad():
                net[0].bias.zero_()
        return self.model(net)


class Careless(Sound):
    def build(self, state):
        net = self.net()
        net.load_state_dict(state or {}, strict=False)
        return self.model(net)


class Strict(Sound):
    def build(self, state):
        net = self.net()
        if state is not None:
            net.load_state_dict(state)
        return self.model(net)


class Misnamed(Sound):
    def model(self, net, names=("round", "flat", "other")):
        return super().model(net, names)


class Unread(Sound):
    def net(self):
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


class Infinite(Sound):
    def net(self):
        return super().net().append(Divides())


class Divides(nn.Module):
    def forward(self, values):
        return values / 0


class Taken(Sound):
    name = "repvgg"


BROKEN = {
    OtherOnMeta: {"builds_on_meta": "on the meta device it has other weights"},
    Unseeded: {"same_seed": "built twice from one seed, the weights differ"},
    Forgets: {"state_round_trip": "built from its own weights, it has others"},
    Careless: {"unfit_state": "weights that do not fit are not refused"},
    Strict: {"unfit_state": "weights that do not fit raise RuntimeError"},
    Misnamed: {"outputs": "output 'classes': the network returns 2 numbers for each image, for 3 class names"},
    Taken: {"free_id": "the id 'repvgg' is taken by interpretkit"},
}


def found(builder):
    messages = {}
    for check in checks_of(builder):
        try:
            check()
        except (AssertionError, ik.InterpretkitError) as error:
            messages[str(check)] = str(error)
    return messages


@pytest.mark.parametrize("check", checks_of(Sound, width=6), ids=str)
def test_what_keeps_the_contract_passes(check):
    check()


@pytest.mark.parametrize("builder", BROKEN, ids=lambda each: each.__name__)
def test_what_breaks_the_contract_is_found_by_the_check_for_it_alone(builder):
    messages = found(builder)
    assert messages.keys() == BROKEN[builder].keys()
    for name, message in BROKEN[builder].items():
        assert message in messages[name]
    with pytest.raises(AssertionError):
        check_model(builder)


@pytest.mark.parametrize(("builder", "message"), [(Unread, "not one number for each class"), (Infinite, "not finite")])
def test_what_no_output_reads_is_found(builder, message):
    assert message in found(builder)["outputs"]


@pytest.mark.parametrize("variant", ["A0"])
def test_the_built_in_family_keeps_it(variant):
    from interpretkit_repvgg.builder import RepVGGBuilder

    check_model(RepVGGBuilder, variant=variant)
