"""The targets: their geometry and materials in code, and how any model is loaded."""
