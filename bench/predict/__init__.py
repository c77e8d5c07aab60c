"""Prediction experiments: given poses of a target up to now, say what they will be.

`rotations` and `rigid_body` are the algebra and the dynamics underneath.
"""
