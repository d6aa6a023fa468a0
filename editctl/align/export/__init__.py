"""Alignments as files that other trainers read: preference pairs, chat turns with trained spans, weighted tokens."""
