"""Benchmark and ablation harness for recovering human pose sequences from sparse keyframes."""

__version__ = "0.1.0"
