"""The stages beside training, a module each. They meet in the run folder."""
