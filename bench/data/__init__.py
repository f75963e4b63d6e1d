"""Clips and datasets: types, one loader per file layout, our own on-disk format, stand-ins."""
