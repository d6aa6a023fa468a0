"""Teacher prompts, one Jinja file each; installed as `editctl.templates`."""
