"""Stage 3, Examples -> student: tokens and weights, one loss, one trainer."""
