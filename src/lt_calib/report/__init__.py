"""Finished runs as tables, figures and one page: ``python -m lt_calib.report FOLDER...``."""
