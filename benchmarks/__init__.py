"""What the package costs and what it saves; see README.md."""
