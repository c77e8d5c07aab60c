"""The targets as a render needs them: which there are, and how any model is loaded."""
