"""Averages of finished runs, which are runs like any other: report, calibrate, predict, conformal."""
