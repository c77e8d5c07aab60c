"""Rendering: GL backend, shaders, renderer."""

RENDERERS = ("satgen", "pyrender")
"""What a scene can be rendered with, the default first; the other is `reference`."""
