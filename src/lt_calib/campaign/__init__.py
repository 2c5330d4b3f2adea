"""A matrix of jobs, run as time allows: ``python -m lt_calib.campaign NAME --budget 25m``."""
