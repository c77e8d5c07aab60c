"""Prediction experiments: given poses of a target up to now, say what they will be.

- `protocols`: what is observed and what is asked for; `motions`: the movements it is asked of;
  `rendered`: the same of rendered datasets.
- `pose_models`: the models by name; `types`: what a model is given and what it answers.
- `experiment`: models against a protocol; `figures`: how far off they are.
- `frame_models`, `frame_types`, `frame_protocols`, `frame_forecasts`, `frame_figures`: the same of
  frames instead of poses; `frame_training`, `frame_learned`: networks for them.
- `config`, `choose`: what `satgen predict` is told; `run`: its folder, part by part; `pose_run`,
  `frame_run`: its tasks; `visual_poses`, `posed_frames`, `known`: poses that a matcher finds;
  `table`, `plots`, `report`, `strips`, `compare`: what comes of it; `api`: the same from Python.
- `rotations`, `rigid_body`: the algebra and the dynamics underneath.
"""
