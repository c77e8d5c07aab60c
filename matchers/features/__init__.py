"""Local feature extractors: a module each."""
