"""What is HSTU's own; what it shares with every encoder is in test_encoders."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from segue.nn.encoders import Shape
from segue.nn.hstu import HSTUBlock
from segue.nn.view import View
from tests.nn.makers import LENGTHS, SIZE, WIDTH, asked_of, vectors

SHAPE = Shape(SIZE, 10, 1, 2, relative_time=True, request=True)


def block() -> HSTUBlock:
    torch.manual_seed(0)
    made = HSTUBlock(SHAPE)
    nn.init.normal_(made.places)
    assert made.time is not None
    nn.init.normal_(made.time.table)
    return made.eval()


def test_a_layer_is_the_equations_of_the_paper() -> None:
    made, x, view = block(), vectors(), View.of(asked_of(), SHAPE)
    assert made.time is not None
    assert view.buckets is not None
    gate, value, query, key = F.silu(made.packed(made.norm(x))).chunk(4, dim=-1)
    mixed = torch.zeros_like(x)
    for row in range(len(x)):
        for head, part in enumerate((slice(0, 4), slice(4, 8))):
            for i in range(WIDTH):
                for j in range(i + 1):
                    bias = made.places[head, i - j] + made.time.table[head, view.buckets[row, i, j]]
                    weight = F.silu(query[row, i, part] @ key[row, j, part] + bias) / 10
                    mixed[row, i, part] += weight * value[row, j, part]
    wanted = x + made.output(made.mixed_norm(mixed) * gate)
    torch.testing.assert_close(made(x, view), wanted, rtol=1e-4, atol=1e-5)


def test_weights_are_not_normalised_so_that_more_of_the_same_is_more() -> None:
    made = block()
    same = vectors()[:1, :1].expand(1, WIDTH, SIZE)
    seen: list[torch.Tensor] = []
    made.mixed_norm.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    nn.init.zeros_(made.places)
    made(same, View(torch.ones(WIDTH, WIDTH, dtype=torch.bool).triu(1)[None, None], None))
    torch.testing.assert_close(seen[0][0, 5], 6 * seen[0][0, 0])


def test_what_is_far_back_has_a_bias_of_its_own() -> None:
    made, x, view = block(), vectors(), View.of(asked_of(), SHAPE)
    before = made(x, view)
    with torch.no_grad():
        made.places[:, 3] += 5
    changed = (made(x, view) - before).abs().amax(2) > 1e-6
    inside = torch.arange(WIDTH) < LENGTHS[:, None]
    assert not changed[:, :3].any()
    assert changed[:, 3:][inside[:, 3:]].all()
