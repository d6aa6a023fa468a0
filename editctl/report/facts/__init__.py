"""What a report shows, gathered from records and manifests. Opens nothing, draws nothing."""
