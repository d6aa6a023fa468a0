"""Stage 1, Question -> DualChain: ask a teacher, check what it says, keep or reject."""
