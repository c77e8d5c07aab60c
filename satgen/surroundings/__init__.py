"""What surrounds the target: the Earth, its light and its shadow, and the stars.

`place.py` says where the Earth is and how it is turned, `earth.py` what it looks like from there,
`stars.py` where the stars are. `docs/scene.md` has the model in words.
"""
