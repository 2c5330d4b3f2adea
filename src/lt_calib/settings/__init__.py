"""The configuration: its typed top level, what each setting matters for, and the check of every key."""
