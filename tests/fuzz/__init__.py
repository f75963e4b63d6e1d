"""Damaged and hostile files for every reader: `python -m fuzz`, and a short form in the tests."""
