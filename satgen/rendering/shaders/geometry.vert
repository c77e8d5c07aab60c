#version 330 core
// Positions only: everything else is looked up by triangle when a pixel is shaded.
layout(location = 0) in vec3 position;
uniform mat4 clip_from_target;
#if CUT
out vec3 place;
#endif
void main() {
    gl_Position = clip_from_target * vec4(position, 1.0);
#if CUT
    place = position;
#endif
}
