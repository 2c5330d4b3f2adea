"""Images of no class that a run knows: scores, and how well they tell them from known ones."""
