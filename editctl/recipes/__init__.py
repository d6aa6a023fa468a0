"""One file per method: what the student is shown, which characters count, how it is asked.

No recipe imports another.
"""
