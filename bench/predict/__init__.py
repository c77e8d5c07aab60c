"""Prediction experiments: given poses of a target up to now, say what they will be.

- `protocols`: what is observed and what is asked for; `motions`: the movements it is asked of;
  `rendered`: the same of rendered datasets.
- `pose_models`: the models by name; `types`: what a model is given and what it answers.
- `experiment`: models against a protocol; `figures`: how far off they are.
- `rotations`, `rigid_body`: the algebra and the dynamics underneath.
"""
