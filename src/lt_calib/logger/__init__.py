"""Where a run reports to, beside its own folder."""
