"""Files that are whole or not there, their locks, and the folders of runs."""
