"""Products in parts: what they are, when they are taken, and both ways of a step."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.sums import SplitSums, in_parts, parts_of


def test_a_product_in_two_parts_by_hand():
    a = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    b = torch.tensor([[[1.0], [10.0], [100.0], [1000.0]]])
    assert in_parts(a, b, 2).tolist() == [[[21.0 + 4300.0]]]


@given(
    runs=st.integers(1, 4),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    parts=st.integers(1, 6),
    terms=st.integers(1, 7),
    turned=st.booleans(),
)
def test_a_product_in_parts_is_that_product(runs, rows, columns, parts, terms, turned):
    generator = torch.Generator().manual_seed(rows)
    a = torch.randint(-9, 9, (runs, rows, parts * terms), generator=generator).double()
    b = torch.randint(-9, 9, (runs, parts * terms, columns), generator=generator).double()
    if turned:
        # As in a gradient: the sum runs over rows of what lies in memory.
        a = a.mT.contiguous().mT
    assert torch.equal(in_parts(a, b, parts), torch.bmm(a, b))


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        # Gradients of weights, of five seeds of Human3.6M and of three of siMLPe.
        ((5, 64, 25856, 128), 4),
        ((3, 50, 16896, 50), 16),
        # Joints of STSGCN in 10 frames: 10 tiles, 16 parts.
        ((10, 22, 8192, 22), 16),
        # Enough results, a short sum, and terms that cannot be divided.
        ((256, 64, 101, 64), 1),
        ((5, 64, 900, 64), 1),
        ((1, 8, 25847, 8), 1),
        ((0, 8, 4096, 8), 8),
    ],
)
def test_few_results_of_long_sums_are_split(shape, parts):
    R, M, K, N = shape
    with torch.device("meta"):
        assert parts_of(torch.empty(R, M, K), torch.empty(R, K, N)) == parts


def test_both_ways_are_split_and_nothing_else(parts):
    torch.manual_seed(0)
    x = torch.randn(2, 4096, 8)
    weights = torch.randn(2, 8, 4, requires_grad=True)
    torch.bmm(x, weights).square().sum().backward()
    assert parts == []
    plain, weights.grad = weights.grad, None
    with SplitSums():
        torch.bmm(x, weights).square().sum().backward()
    assert parts == [8]
    torch.testing.assert_close(weights.grad, plain, rtol=1e-5, atol=1e-3)
    with SplitSums():
        torch.bmm(x[:, :600].mT, x[:, :600])
    assert parts == [8]


def test_what_a_method_compiles_by_itself_stays_as_it_is():
    """Higher-order operators and graphs without a break are neither refused nor left."""
    compiled = torch.compile(lambda a, b: torch.bmm(a, b).sum(), backend="eager", fullgraph=True)
    a, b = torch.randn(1, 2, 4096), torch.randn(1, 4096, 2)
    plain = torch.bmm(a, b).sum()
    with SplitSums():
        torch.testing.assert_close(compiled(a, b), plain, rtol=1e-4, atol=1e-3)
        out = torch.cond(a.sum() > 1e9, lambda x: x + 1, lambda x: x - 1, (a,))
    assert torch.equal(out, a - 1)
