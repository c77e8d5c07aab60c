"""Rendering: GL backend, shaders, renderer."""
