"""The bundled targets in code, and what builds their files from it. A render needs none of it."""
