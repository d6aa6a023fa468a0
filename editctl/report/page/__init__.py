"""The HTML report: what a run came from and came to, as one page that needs nothing else."""
