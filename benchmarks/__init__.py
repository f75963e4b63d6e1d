"""What `bench` takes, side by side with the straightforward way and with the floor.

Run from a checkout: `python -m benchmarks run`. Nothing of `bench/` or `methods/` imports this.
"""
