#version 330 core
// Positions, and what a face is known by: all else is looked up by triangle when a pixel is shaded.
layout(location = 0) in vec3 position;
layout(location = 1) in uvec2 caster;  // of the face that ends with this vertex, see packing.py
uniform mat4 clip_from_target;
flat out uvec2 known_by;
#if CUT
out vec3 place;
#endif
void main() {
    gl_Position = clip_from_target * vec4(position, 1.0);
    known_by = caster;
#if CUT
    place = position;
#endif
}
