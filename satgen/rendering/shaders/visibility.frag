#version 330 core
// Visibility buffer: the face that the sample sees, from 1; zero is the background.
layout(location = 0) out uint number;
flat in uvec2 known_by;
#if CUT
in vec3 place;
uniform samplerBuffer faces;
uniform samplerBuffer materials;
#include "mapped.glsl"
#endif
void main() {
#if CUT
    if (is_clear(int(known_by.x) - 1, place)) discard;
#endif
    number = known_by.x;
}
