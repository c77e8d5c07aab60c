"""Training of LightGlue and SuperGlue on rendered satellites, from the datasets alone."""
