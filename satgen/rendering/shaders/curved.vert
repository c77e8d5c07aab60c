#version 330 core
// A rectangle of samples for each triangle, which holds all of them that the triangle may be seen by.
uniform samplerBuffer triangles;  // CURVED_TEXELS a triangle, see curved.py
flat out vec3 edge0;
flat out vec3 edge1;
flat out vec3 edge2;
flat out vec3 plane;
flat out uint number;

void main() {
    int triangle = gl_VertexID / 6;
    int corner = gl_VertexID % 6;
    vec4 box = texelFetch(triangles, triangle * CURVED_TEXELS);
    vec4 t1 = texelFetch(triangles, triangle * CURVED_TEXELS + 1);
    vec4 t2 = texelFetch(triangles, triangle * CURVED_TEXELS + 2);
    vec4 t3 = texelFetch(triangles, triangle * CURVED_TEXELS + 3);
    edge0 = t1.xyz;
    edge1 = t2.xyz;
    edge2 = t3.xyz;
    plane = vec3(t1.w, t2.w, t3.w);
    number = uint(triangle) + 1u;
    bool right = corner == 1 || corner == 2 || corner == 4;
    bool low = corner == 2 || corner == 4 || corner == 5;
    gl_Position = vec4(right ? box.z : box.x, low ? box.w : box.y, 0.0, 1.0);
}
