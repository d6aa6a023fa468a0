"""Teachers and toy tasks, one file each; installed as `editctl.plugins` and loaded by the registry alone."""
