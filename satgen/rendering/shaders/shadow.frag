#version 330 core
// Shadow map: what the sun sees, as packing.py has it, plus 2 on the patch if it is the front.
layout(location = 0) out uvec2 seen;
flat in uvec2 known_by;
#if CUT
in vec3 place;
uniform samplerBuffer faces;
uniform samplerBuffer materials;
#include "mapped.glsl"
#endif
void main() {
    seen = known_by + uvec2(0u, gl_FrontFacing ? 2u : 0u);
#if CUT
    if (is_clear(int(known_by.x) - 1, place)) discard;
#endif
}
