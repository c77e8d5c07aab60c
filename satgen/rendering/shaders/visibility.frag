#version 330 core
// Visibility buffer: the primitive that the sample sees, plus one; zero is the background.
layout(location = 0) out uint primitive;
#if CUT
in vec3 place;
uniform samplerBuffer faces;
uniform samplerBuffer materials;
uniform usamplerBuffer casters;  // of each primitive its face from 1
#include "mapped.glsl"
#endif
void main() {
#if CUT
    if (is_clear(int(texelFetch(casters, gl_PrimitiveID).r) - 1, place)) discard;
#endif
    primitive = uint(gl_PrimitiveID) + 1u;
}
