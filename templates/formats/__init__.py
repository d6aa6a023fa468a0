"""How a solution of each chain format is to be written: one Jinja file each, chosen with `gen-dual --format NAME`."""
