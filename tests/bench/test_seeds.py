"""Seeds: known numbers, so that nobody's results move, and no two axes alike."""

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.seeds import seed_for


def test_a_seed_is_half_of_the_first_eight_bytes_of_the_hash():
    # As `printf a/1 | sha256sum` says.
    assert seed_for("a", 1) == 0x773232ABE9343F0E >> 1


@settings(max_examples=30)
@given(st.lists(st.text() | st.integers(), max_size=4))
def test_seeds_fit_where_they_are_used_and_repeat(axes):
    seed = seed_for(*axes)
    assert 0 <= seed < 2**63
    assert seed == seed_for(*axes)


def test_every_axis_counts():
    seeds = {
        seed_for("h36m-fcn", "mct", number, purpose)
        for number in range(50)
        for purpose in ("start", "training")
    }
    assert len(seeds | {seed_for("mct", "h36m-fcn", 0, "start")}) == 101


def test_another_process_draws_the_same_seed():
    code = "from bench.seeds import seed_for; print(seed_for('h36m-fcn', 'ridge', 0, 'start'))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == seed_for("h36m-fcn", "ridge", 0, "start")
