"""Long-tailed splits, the data module, the loader, and one file a source of pictures."""
