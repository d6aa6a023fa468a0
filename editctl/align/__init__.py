"""Stage 2, DualChain -> Alignment: where the two chains part, as character spans."""
