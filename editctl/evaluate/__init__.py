"""Stage 4, student -> Prediction -> Score."""
