"""The stages other than training, one module each. They share the run folder."""
