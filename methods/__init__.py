"""The methods that ship with bench: one file per family, each found through its entry point.

A module in here imports nothing of the harness but `bench.contracts`.
"""
