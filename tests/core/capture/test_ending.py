from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from interpretkit.capture.ending import Ending, Endings

IMAGE = torch.rand(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.end = end

    def forward(self, images):
        return self.end(self.head(images.flatten(1)))


def endings_of(net):
    with Endings(net) as endings:
        returned = net(IMAGE)
    return endings, returned


def ending(end):
    endings, returned = endings_of(Net(end))
    return endings.of(returned)


@pytest.mark.parametrize(
    ("end", "operation"),
    [
        (lambda z: functional.softmax(z, dim=1), "softmax"),
        (lambda z: z.softmax(-1), "softmax"),
        (nn.Softmax(dim=1), "softmax"),
        (torch.sigmoid, "sigmoid"),
        (nn.Sigmoid(), "sigmoid"),
        (torch.special.expit, "sigmoid"),
        (lambda z: z.sigmoid_().float()[:, 0], "sigmoid"),
        (lambda z: z.sigmoid().squeeze(-1).view(-1), "sigmoid"),
        (lambda z: functional.log_softmax(z, dim=1), "log_softmax"),
    ],
)
def test_the_last_operation_is_told_however_it_is_called(end, operation):
    assert ending(end) == Ending(operation, "head")


@pytest.mark.parametrize(
    "end",
    [
        functional.relu,
        torch.tanh,
        lambda z: 1 / (1 + (-z).exp()),
        lambda z: z.softmax(1).mul_(2),
        lambda z: z.sigmoid() * 100,
        lambda z: z.sigmoid().log(),
        lambda z: z.softmax(1) @ torch.eye(3),
        lambda z: functional.linear(z.softmax(1), torch.eye(3)),
        lambda z: functional.interpolate(z.softmax(1)[:, :, None], size=9, mode="nearest").mul(3),
        lambda z: functional.interpolate(z.sigmoid()[:, :, None, None], size=9, mode="bicubic"),
        lambda z: z + z.relu(),
        lambda z: z * z.sigmoid(),
        lambda z: z * z,
        lambda z: 1 / z,
        lambda z: torch.cat([z[:, :1].sigmoid(), z[:, 1:]], 1),
    ],
)
def test_what_comes_after_counts(end):
    assert ending(end) == Ending("other")


def written(z):
    z[:, 0] = z[:, 0].sigmoid()
    return z


def changed_through_a_view(z):
    z = z.clone()
    z[:, 0].sigmoid_()
    return z


@pytest.mark.parametrize("end", [written, changed_through_a_view])
def test_what_is_written_into_is_something_else(end):
    assert ending(end) == Ending("other")


@pytest.mark.parametrize(
    "end",
    [
        nn.Identity(),
        lambda z: z / 0.7,
        lambda z: 100 * z + 1,
        lambda z: 1 - z,
        lambda z: z * torch.tensor(2.0).exp(),
        lambda z: (z - z.mean(1, keepdim=True)) / 2,
        lambda z: torch.stack([z, z]).mean(0),
        lambda z: z.unbind(1)[0],
        lambda z: torch.sigmoid(z) @ torch.eye(3),
        lambda z: functional.interpolate(z[:, :, None, None], size=9, mode="bicubic"),
        nn.BatchNorm1d(3).eval(),
        nn.Dropout().eval(),
    ],
)
def test_a_linear_layer_is_told_also_where_it_is_added_up_or_scaled(end):
    assert ending(end).operation == "linear"


def test_a_weight_may_be_a_sigmoid_of_a_parameter():
    class Weighted(Net):
        def __init__(self, end):
            super().__init__(end)
            self.weight = nn.Parameter(torch.zeros(3))

        def forward(self, images):
            return super().forward(images) * self.weight.sigmoid()

    endings, returned = endings_of(Weighted(nn.Identity()))
    assert endings.of(returned).operation == "linear"
    endings, returned = endings_of(Weighted(nn.Sigmoid()))
    assert endings.of(returned).operation == "other"


@pytest.mark.parametrize("operation", ["softmax", "sigmoid"])
def test_what_is_enlarged_between_neighbours_stays_what_it_is(operation):
    def end(z):
        values = z.softmax(1) if operation == "softmax" else z.sigmoid()
        return functional.interpolate(values[:, :, None, None], size=9, mode="bilinear", align_corners=True)

    assert ending(end) == Ending(operation, "head")


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_what_is_not_seen_is_not_told():
    endings, returned = endings_of(torch.jit.trace(Net(nn.Tanh()), IMAGE))
    assert endings.of(returned) == Ending()


def test_an_exported_network_is_told_too():
    exported = torch.export.export(Net(nn.Sigmoid()), (IMAGE,)).module()
    endings, returned = endings_of(exported)
    assert endings.of(returned).operation == "sigmoid"


def test_each_part_has_its_own():
    endings, returned = endings_of(Net(lambda z: {"probabilities": z.softmax(1), "logits": z}))
    found = {name: endings.of(part).operation for name, part in returned.items()}
    assert found == {"probabilities": "softmax", "logits": "linear"}


def test_a_layer_that_is_called_twice_is_not_named():
    class Twice(Net):
        def forward(self, images):
            self.head(images.flatten(1))
            return super().forward(images)

    endings, returned = endings_of(Twice(torch.sigmoid))
    assert endings.of(returned) == Ending("sigmoid", "")


def test_the_network_is_left_as_it_was():
    net = Net(torch.sigmoid)
    endings_of(net)
    assert not any(part._forward_hooks for part in net.modules())


def test_a_tensor_that_takes_the_place_of_one_that_is_gone_is_another():
    class Fresh(torch.autograd.Function):
        @staticmethod
        def forward(_context, values):
            return values.clone()

    class Gone(Net):
        def forward(self, images):
            self.head(images.flatten(1))
            return torch.sigmoid(Fresh.apply(images.flatten(1)))

    for _ in range(20):
        endings, returned = endings_of(Gone(None))
        assert endings.of(returned) == Ending("sigmoid", "")
