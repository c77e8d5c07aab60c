#version 330 core
// Visibility buffer of a lens: each sample looks along its own ray, and is met or not.
layout(location = 0) out uint primitive;
uniform sampler2D rays;  // camera-frame x and y of each sample's ray where z is 1
uniform float near;      // metres
flat in vec3 edge0;      // normals of the planes through the eye and an edge: the ray passes between
flat in vec3 edge1;
flat in vec3 edge2;
flat in vec3 plane;      // times the ray: one over the depth
flat in uint number;
#if CUT
uniform mat3 target_from_camera;
uniform vec3 eye;  // target frame
uniform samplerBuffer faces;
uniform samplerBuffer materials;
uniform usamplerBuffer casters;  // of each triangle its face from 1
#include "mapped.glsl"
#endif

void main() {
    vec3 ray = vec3(texelFetch(rays, ivec2(gl_FragCoord.xy), 0).xy, 1.0);
    vec3 sides = vec3(dot(edge0, ray), dot(edge1, ray), dot(edge2, ray));
    float nearness = near * dot(plane, ray);
    // What lies on an edge that two triangles share belongs to both: nothing shines through.
    bool met = all(greaterThanEqual(sides, vec3(0.0))) || all(lessThanEqual(sides, vec3(0.0)));
    if (!met || !(nearness > 0.0) || nearness > 1.0) discard;
#if CUT
    vec3 place = eye + target_from_camera * ray / dot(plane, ray);
    if (is_clear(int(texelFetch(casters, int(number) - 1).r) - 1, place)) discard;
#endif
    gl_FragDepth = nearness;
    primitive = number;
}
