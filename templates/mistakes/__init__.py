"""Mistake patterns: one Jinja file each, chosen with `gen-dual -m NAME`."""
