"""Orders of samples: every one once an epoch, the same from the same seed, restored anywhere."""

import pytest
import torch

from bench.shuffling import Order

CPU = torch.device("cpu")


def taken(order: Order, sizes) -> list[list[int]]:
    return [order.take(size).tolist() for size in sizes]


def test_every_epoch_has_every_sample_once():
    numbers = [n for batch in taken(Order(10, 3, CPU), [4] * 5) for n in batch]
    assert sorted(numbers[:10]) == sorted(numbers[10:]) == list(range(10))
    assert numbers[:10] != numbers[10:]


def test_a_batch_may_be_longer_than_an_epoch():
    [batch] = taken(Order(3, 0, CPU), [7])
    assert sorted(batch[:3]) == sorted(batch[3:6]) == [0, 1, 2]


@pytest.mark.parametrize("before", range(8))
def test_from_any_place_it_goes_on_as_it_would_have(before):
    order = Order(10, 3, CPU)
    taken(order, [4] * before)
    place = order.before.clone(), order.tail.clone(), order.taken
    expected = taken(order, [4] * 6)
    other = Order(10, 99, CPU)
    taken(other, [5] * 3)
    other.restore(*place)
    assert taken(other, [4] * 6) == expected
