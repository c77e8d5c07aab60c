// How textures lie on a triangle, and where it is cut out by its opacity.
// Needs: faces, materials, FACE_TEXELS, MATERIAL_TEXELS, TEXTURE_SIZE, COLOURS, WRAP.

#if WRAP
// A coordinate brought to 0 .. 1 as its texture goes on beyond its edges: 0 repeats, which the sampler
// does, 1 holds the last texel, 2 mirrors; clear of the opposite edge by half a texel of its level.
float wrapped_along(float at, float how, float inset) {
    if (how < 0.5) return at;
    float inside = how < 1.5 ? at : 1.0 - abs(mod(at, 2.0) - 1.0);
    return clamp(inside, inset, 1.0 - inset);
}
#endif

vec2 wrapped(vec2 st, float code, float lod) {
#if WRAP
    float down = floor(code / 3.0);
    float inset = min(0.5 * exp2(max(lod, 0.0)) / TEXTURE_SIZE, 0.5);
    return vec2(wrapped_along(st.x, code - 3.0 * down, inset), wrapped_along(st.y, down, inset));
#else
    return st;
#endif
}

#if CUT
uniform sampler2DArray glow_alpha;  // sRGB glow, opacity in alpha

// Whether a point of a triangle is clear: nothing is there to be seen, or to throw a shadow.
bool is_clear(int face, vec3 place) {
    vec4 f1 = texelFetch(faces, face * FACE_TEXELS + 1);
    int material = int(f1.w);
    vec4 m3 = texelFetch(materials, material * MATERIAL_TEXELS + 3);  // opacity, cutoff, wrap, -
    if (m3.y <= 0.0) return false;
    float layer = texelFetch(materials, material * MATERIAL_TEXELS + 1).z;
    vec3 e2 = texelFetch(faces, face * FACE_TEXELS + 2).xyz;
    vec4 f3 = texelFetch(faces, face * FACE_TEXELS + 3);
    vec4 f4 = texelFetch(faces, face * FACE_TEXELS + 4);
    vec3 t = place - texelFetch(faces, face * FACE_TEXELS).xyz;
    float aa = dot(f1.xyz, f1.xyz), ab = dot(f1.xyz, e2), bb = dot(e2, e2);
    float ta = dot(t, f1.xyz), tb = dot(t, e2);
    vec2 bc = vec2(bb * ta - ab * tb, aa * tb - ab * ta) / max(aa * bb - ab * ab, 1e-30);
    vec2 st = wrapped(f3.xy + bc.x * f3.zw + bc.y * f4.xy, m3.z, 0.0);
    float opacity = m3.x * textureLod(glow_alpha, vec3(st, layer), 0.0).a;
#if COLOURS
    opacity *= (
        texelFetch(faces, face * FACE_TEXELS + COLOURS).a * (1.0 - bc.x - bc.y)
        + texelFetch(faces, face * FACE_TEXELS + COLOURS + 1).a * bc.x
        + texelFetch(faces, face * FACE_TEXELS + COLOURS + 2).a * bc.y);
#endif
    return opacity < m3.y;
}
#endif
