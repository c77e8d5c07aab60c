"""satgen: complete optical image sequences of satellites with exact ground truth."""

__version__ = "0.1.0"
