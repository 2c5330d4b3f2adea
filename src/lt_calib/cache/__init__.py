"""A store of finished stages 1, so that jobs whose stage 1 has the same settings train it once."""
