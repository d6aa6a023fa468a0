"""The command line: one file per command. Options, open files, progress, one call of a stage; no logic."""
