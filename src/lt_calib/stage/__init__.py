"""The two stages of training as LightningModules, and what both share."""
