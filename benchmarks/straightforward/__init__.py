"""The straightforward way: plain code after the spec, as the yardstick of everything faster.

Each part is what one would write first, and write well: no loop where the published code has none,
and no trick either. Only numbers are shared with `bench`: they agree to 1e-6 (tests/benchmarks).
It keeps a model of its own, so that the yardstick does not move when ours gets faster.
"""
