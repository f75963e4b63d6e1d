"""What `bench` takes, side by side with the straightforward way, and how far both are from the floor.

Run from a checkout: `python -m benchmarks run`. Nothing of `bench/` or `methods/` imports this.
"""
