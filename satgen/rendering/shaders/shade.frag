#version 330 core
// Shades a list of samples: each pixel of the output is one point of one triangle.

// Linear RGB, and in alpha 0 where the sun may be half hidden by what is far above. With HALF_SHADOWS, for
// those samples: what that changes.
layout(location = 0) out vec4 radiance;

uniform samplerBuffer samples;       // u, v in pixels, face, -
uniform samplerBuffer faces;         // FACE_TEXELS a face, see packing.py
uniform samplerBuffer materials;     // MATERIAL_TEXELS a material
uniform sampler2DArray base_roughness;   // sRGB base colour, linear roughness in alpha
uniform sampler2DArray normal_metallic;  // tangent-space normal, metallic in alpha
uniform sampler2D reflectance;   // by cosine and roughness, see reflectance.py
uniform usampler2D shadow_map;       // face from 1, or 0; four times its patch, + 2 front, + 1 simple
uniform sampler2D shadow_depth;      // from the sun, 0 to 1
uniform sampler2D shadow_outlines;   // the least of an outline in and about each block of texels

uniform mat3 ray_from_pixel;     // (u, v, 1) -> target-frame direction with camera z = 1
uniform vec3 eye;                // camera centre, target frame, about the model's centre
uniform vec3 sun;                // unit vector to the sun, target frame
uniform vec3 earth;              // unit vector to the Earth, target frame
uniform mat4 shadow_from_target;
uniform ivec2 shadow_size;       // texels of the shadow map
uniform int shadow_block;        // texels of a block, more than half of the widest half shadow
uniform float penumbra;          // texels of a half shadow's half width, a unit of depth
uniform float flatness;          // metres that a point may be off a plane and count as on it
uniform vec3 earthshine;         // mean radiance of the Earth's disc
uniform float sunlight;          // share of the sun's light that reaches the target
uniform float ambient;           // radiance of everything else
uniform float cos_earth_limb;

const float PI = 3.14159265;
const float SUN_RADIANCE = 46200.0;  // of its disc, pi over its solid angle: no mirror image is brighter
const float GAIN = 0.996;         // so that no error of the table lets a surface mirror more than it gets

#if GLOW
uniform sampler2DArray glow_alpha;       // sRGB glow, opacity in alpha
#endif

#include "around.glsl"
#include "mapped.glsl"

// What is shaded: a point, its frame on the viewer's side, and how it reflects.
struct Surface {
    uint patch;      // twice its number, plus whether the triangle's front is to the viewer
    vec3 point;      // target frame, metres
    vec3 view;       // unit vector to the eye
    vec3 geometric;  // the triangle's normal
    vec3 even;       // interpolated between its corners
    vec3 normal;     // with the relief of the normal map
    float relief;    // variance of the slopes that are seen of that
    vec3 diffuse;    // albedo of what is not metal
    vec3 f_zero;     // reflectance at normal incidence
    float alpha;     // GGX roughness
    float nv;        // cosine between normal and view
    vec4 terms;      // of the table of reflectance toward the view
    vec3 gain;       // what the lobe is multiplied with for light that meets it several times
};

struct Hit { vec3 n0; vec3 a; vec3 b; float inverse; vec2 barycentric; };

vec3 octahedral(vec2 e) {
    vec3 n = vec3(e, 1.0 - abs(e.x) - abs(e.y));
    float fold = max(-n.z, 0.0);
    n.xy -= fold * vec2(n.x >= 0.0 ? 1.0 : -1.0, n.y >= 0.0 ? 1.0 : -1.0);
    return normalize(n);
}

// Möller and Trumbore's intersection with every term linear in the direction factored out, so that
// screen-space derivatives of the barycentric coordinates follow without a second triangle.
Hit intersect(vec3 v0, vec3 e1, vec3 e2, vec3 direction) {
    Hit hit;
    vec3 t = eye - v0;
    hit.a = cross(e2, t);
    hit.b = cross(t, e1);
    hit.n0 = cross(e2, e1);
    float det = dot(direction, hit.n0);
    hit.inverse = 1.0 / (abs(det) > 1e-20 ? det : 1e-20);
    hit.barycentric = vec2(dot(direction, hit.a), dot(direction, hit.b)) * hit.inverse;
    return hit;
}

const int MOST_STEPS = 6;
const int CLEAR = 0;    // is not in the light's way
const int BEYOND = 1;   // might be but for its outline, which lies between
const int COVERED = 2;  // is in the way
const int FAR = 3;      // begins too many triangles away to tell

// What a triangle that the sun sees near a point has to do with the point's light. From the place where
// it was seen the surface is followed, edge by edge as the sun sees it, until it is over the point.
int fate(int face, vec3 place, Surface s) {
    float side = 0.0;
    for (int k = 0; k < MOST_STEPS; k++) {
        vec3 v0 = texelFetch(faces, face * FACE_TEXELS).xyz;
        vec3 e1 = texelFetch(faces, face * FACE_TEXELS + 1).xyz;
        vec3 e2 = texelFetch(faces, face * FACE_TEXELS + 2).xyz;
        vec3 n = cross(e1, e2);
        float toward = dot(n, sun);
        if (k == 0) side = toward < 0.0 ? -1.0 : 1.0;
        else if (toward * side <= 0.0) return BEYOND;
        // No ray from the point to the sun meets it: the point is before its plane, or it is behind
        // the point's own.
        vec3 t = s.point - v0;
        float above = -dot(t, s.geometric);
        if (dot(t, n) * side > -flatness * length(n)
            || above + max(max(dot(e1, s.geometric), dot(e2, s.geometric)), 0.0) < flatness) return CLEAR;
        // Twice the area, as the sun sees it, between each edge and the point, and edge and place.
        vec3 to_point = vec3(dot(cross(e1, t), sun), 0.0, dot(cross(t, e2), sun)) * side;
        to_point.y = toward * side - to_point.x - to_point.z;
        if (min(min(to_point.x, to_point.y), to_point.z) >= 0.0) return COVERED;
        t = place - v0;
        vec3 to_place = vec3(dot(cross(e1, t), sun), 0.0, dot(cross(t, e2), sun)) * side;
        to_place.y = toward * side - to_place.x - to_place.z;
        to_place = max(to_place, 0.0);
        vec3 crossing = mix(vec3(2.0), to_place / (to_place - to_point), lessThan(to_point, vec3(0.0)));
        vec3 next = texelFetch(faces, face * FACE_TEXELS + 6).xyz;
        face = int(crossing.x <= min(crossing.y, crossing.z) ? next.x
                   : crossing.y <= crossing.z ? next.y : next.z);
        if (face < 0) return BEYOND;
    }
    return FAR;
}

// Share of the sun that a point sees, were it a point: from four texels of the shadow map, the place
// among them, and whether each is asked. A texel speaks for the light where it shows the point's own
// patch, and against it where it shows a surface that is in the way; else it says nothing. No depth is
// compared: however large a texel is, light gets through no shell, and no surface shadows itself.
float by_texels(Surface s, ivec2 corner, vec2 share, vec4 asked) {
    uvec2 t0 = texelFetch(shadow_map, corner, 0).rg;
    uvec2 t1 = texelFetch(shadow_map, corner + ivec2(1, 0), 0).rg;
    uvec2 t2 = texelFetch(shadow_map, corner + ivec2(0, 1), 0).rg;
    uvec2 t3 = texelFetch(shadow_map, corner + ivec2(1, 1), 0).rg;
    uvec4 seen = uvec4(t0.x, t1.x, t2.x, t3.x) * uvec4(asked);
    uvec4 patches = uvec4(t0.y, t1.y, t2.y, t3.y);
    bvec4 own = equal(patches >> 1, uvec4(s.patch));
    bvec4 plain = equal(patches, uvec4(2u * s.patch + 1u));
    vec4 weight = vec4(1.0 - share.x, share.x, 1.0 - share.x, share.x)
                  * vec4(vec2(1.0 - share.y), vec2(share.y)) * asked;
    if (all(plain)) return 1.0;

    vec3 across = vec3(shadow_from_target[0].x, shadow_from_target[1].x, shadow_from_target[2].x);
    vec3 down = vec3(shadow_from_target[0].y, shadow_from_target[1].y, shadow_from_target[2].y);
    across /= dot(across, across);
    down /= dot(down, down);
    float lit = dot(weight, vec4(plain));
    float blocked = 0.0;
    bool covered = false;
    bool far = false;
    seen *= uvec4(not(plain));
    // The triangles that are seen, one after the other, until the point is known to be in shadow.
    bool in_doubt = true;
    for (uvec2 pair = max(seen.xy, seen.zw); in_doubt && (pair.x | pair.y) != 0u;
         pair = max(seen.xy, seen.zw)) {
        uint face = max(pair.x, pair.y);
        vec4 same = vec4(equal(seen, uvec4(face)));
        seen *= uvec4(not(equal(seen, uvec4(face))));
        float number = dot(same, vec4(1.0));
        vec2 off = vec2(same.y + same.w, same.z + same.w) / number - share;
        int end = fate(int(face) - 1, s.point + off.x * across + off.y * down, s);
        float of_face = dot(weight, same);
        if (end != CLEAR) blocked += of_face;
        else lit += dot(weight, same * vec4(own));
        covered = covered || end == COVERED;
        far = far || end == FAR;
        in_doubt = !covered || any(own);
    }
    // Where the sun sees the patch nowhere near, being less than a texel wide, only what is right over
    // the point counts.
    if (lit == 0.0) return covered || far ? 0.0 : 1.0 - blocked;
    // What is over the point has its outline on this side of half the pixel, else on the other.
    float part = lit / (lit + blocked);
    return covered ? min(part, 0.5) : far ? part : max(part, 0.5);
}

// Radius of the widest half shadow that there may be at a place on the shadow map, in its texels.
float widest_half_shadow(vec3 on_map) {
    float depth = texelFetch(shadow_outlines, ivec2(on_map.xy) / shadow_block, 0).r;
    return (on_map.z - depth) * penumbra;
}

#if HALF_SHADOWS
const float STEPS = 5.0;  // at most so many from the middle of a half shadow to its edge

// Share of the sun's disc that a point sees, less that by four texels alone. What is far above the
// point, so that its half shadow is wider than the filter, is told from the rest by its depth.
float sunlit(Surface s) {
    vec3 on_map = (shadow_from_target * vec4(s.point, 1.0)).xyz;
    vec2 at = on_map.xy - 0.5;
    ivec2 corner = ivec2(floor(at));
    vec2 share = at - floor(at);
    float widest = widest_half_shadow(on_map);
    int stride = max(int(ceil(widest / STEPS)), 1);
    int n = widest > NARROW ? int(ceil(widest / float(stride) + 0.5)) : -1;
    ivec2 base = ivec2(round(at / float(stride))) * stride;
    float number = 0.0;
    float widths = 0.0;
    for (int y = -n; y <= n; y++) for (int x = -n; x <= n; x++) {
        ivec2 texel = base + stride * ivec2(x, y);
        float depth = texelFetch(shadow_depth, clamp(texel, ivec2(0), shadow_size - 1), 0).r;
        float radius = (on_map.z - depth) * penumbra;
        float inside = clamp((radius - distance(vec2(texel), at)) / float(stride) + 0.5, 0.0, 1.0);
        inside *= radius > NARROW ? 1.0 : 0.0;
        number += inside;
        widths += inside * radius;
    }
    int last = number > 0.0 ? n : -1;
    float mean = widths / max(number, 1e-6);
    float whole = 0.0;
    float hidden = 0.0;
    float nearest = 1e6;
    ivec2 open = corner;
    for (int y = -last; y <= last; y++) for (int x = -last; x <= last; x++) {
        ivec2 texel = base + stride * ivec2(x, y);
        float depth = texelFetch(shadow_depth, clamp(texel, ivec2(0), shadow_size - 1), 0).r;
        float radius = (on_map.z - depth) * penumbra;
        float off = distance(vec2(texel), at);
        float inside = clamp((mean - off) / float(stride) + 0.5, 0.0, 1.0);
        bool over = radius > NARROW;
        whole += inside;
        hidden += over && off < radius + 0.5 * float(stride) ? inside : 0.0;
        open = !over && off < nearest ? texel : open;
        nearest = over ? nearest : min(nearest, off);
    }
    float sharp = 0.0;
    float below = 0.0;  // share that what is not far above lets through
    vec4 asked = vec4(1.0);
    int looks = last < 0 ? 1 : 2;
    for (int k = 0; k < looks; k++) {
        if (k == 1) {
            vec4 depths = vec4(texelFetch(shadow_depth, corner, 0).r,
                               texelFetch(shadow_depth, corner + ivec2(1, 0), 0).r,
                               texelFetch(shadow_depth, corner + ivec2(0, 1), 0).r,
                               texelFetch(shadow_depth, corner + ivec2(1, 1), 0).r);
            asked = vec4(lessThan((on_map.z - depths) * penumbra, vec4(NARROW)));
            if (asked == vec4(0.0)) {
                corner = open;
                share = vec2(0.0);
                asked = vec4(1.0, 0.0, 0.0, 0.0);
            }
        }
        below = by_texels(s, corner, share, asked);
        sharp = k == 0 ? below : sharp;
    }
    float soft = hidden < whole ? below * (1.0 - hidden / whole) : 0.0;
    return last < 0 ? 0.0 : (soft - sharp) * smoothstep(NARROW, 2.0 * NARROW, mean);
}
#else
float sunlit(Surface s) {
    vec2 at = (shadow_from_target * vec4(s.point, 1.0)).xy - 0.5;
    return by_texels(s, ivec2(floor(at)), at - floor(at), vec4(1.0));
}
#endif

vec4 reflectance_at(float cosine, float alpha) {
    const float n = float(TABLE_SIDE);
    return textureLod(reflectance, (vec2(cosine, sqrt(alpha)) * (n - 1.0) + 0.5) / n, 0.0);
}

// Share of the light that grazes a surface which its bumps, before it and above it, let through, such
// that bumps add none (Smith's masking for slopes as Beckmann has them, in the rational fit of Walter et
// al., "Microfacet models for refraction through rough surfaces", EGSR 2007).
float past_bumps(float cosine, float variance) {
    float a2 = cosine * cosine / (max(1.0 - cosine * cosine, 1e-6) * max(2.0 * variance, 1e-6));
    float a = sqrt(a2);
    return a < 1.6 ? (3.535 * a + 2.181 * a2) / (1.0 + 2.276 * a + 2.577 * a2) : 1.0;
}

// Radiance that the sun's light leaves with. Its irradiance is pi, so that a white Lambertian surface
// facing it has radiance one.
vec3 direct(Surface s) {
    float nl = dot(s.normal, sun);
    float facing = dot(s.geometric, sun);
    float even = dot(s.even, sun);
    if (min(nl, min(facing, even)) <= 0.0) return vec3(0.0);
    // Dark before the triangle itself faces away, without an edge (Chiang, Li and Burley, "Taming the
    // shadow terminator", SIGGRAPH talks 2019).
    float g = min(facing / (even * dot(s.even, s.geometric)), 1.0);
    float light = nl * g * (1.0 + g - g * g) * past_bumps(even, s.relief);
    light *= sunlit(s);
    if (light == 0.0) return vec3(0.0);

    vec3 h = normalize(s.view + sun);
    float nh = dot(s.normal, h);
    vec3 across = cross(s.normal, h);
    float a2 = s.alpha * s.alpha;
    float t = dot(across, across) + nh * nh * a2;
    float distribution = a2 / (PI * t * t);                                  // GGX
    float masking = 0.5 / (nl * sqrt(s.nv * s.nv * (1.0 - a2) + a2)
                           + s.nv * sqrt(nl * nl * (1.0 - a2) + a2));        // Smith, height-correlated
    float vh = 1.0 - max(dot(s.view, h), 0.0);
    float vh2 = vh * vh;
    vec3 fresnel = s.f_zero + (1.0 - s.f_zero) * (vh2 * vh2 * vh);           // Schlick
    float let_in = (1.0 - s.terms.z) * (1.0 - reflectance_at(nl, s.alpha).z) * s.terms.w;
    return (s.diffuse * let_in + s.gain * fresnel * (PI * distribution * masking)) * light;
}

// Irradiance, over pi, of a disc in the sky of radiance one, cut off by the surface's own horizon (the
// form factor of a sphere; Snyder, "Radiant energy transfer within space stations", 1969; exact).
float disc_irradiance(float toward) {
    float sine2 = 1.0 - cos_earth_limb * cos_earth_limb;
    float sine = sqrt(max(1.0 - toward * toward, 1e-8));
    if (toward >= sqrt(sine2)) return sine2 * toward;   // all of it above the horizon
    if (toward <= -sqrt(sine2)) return 0.0;
    float cotangent = cos_earth_limb / sqrt(sine2);
    float up = asin(clamp(cos_earth_limb / sine, -1.0, 1.0));
    float low = acos(clamp(-cotangent * toward / sine, -1.0, 1.0));
    return 0.5 - up / PI + sine2 / PI * (toward * low - cotangent * sqrt(max(1.0 - toward * toward / sine2, 0.0)));
}

// Radiance from all that is not the sun: the Earth, a disc that is seen diffusely and mirrored, and an
// ambient light from everywhere else; and the light of other parts, which hide both.
vec3 indirect(Surface s, int face, vec2 barycentric) {
    vec3 mirrored = reflect(-s.view, s.normal);
    // Share of the lobe that the disc fills: fitted to sums over the lobe, to 0.08 up to 35 degrees of
    // incidence, worse (0.2) where rough surfaces are seen at a graze.
    float soft = 0.004 + 3.7 * s.alpha / (1.0 + 1.35 * s.alpha);
    float disc = smoothstep(cos_earth_limb - soft, cos_earth_limb + soft, dot(mirrored, earth));
    vec3 specular = s.gain * (s.f_zero * s.terms.x + s.terms.y);
    Around around = look_around(face, barycentric, s.point, s.geometric, s.normal, mirrored, s.alpha);
    vec3 irradiance = earthshine * disc_irradiance(dot(s.normal, earth)) + ambient + around.irradiance;
    vec3 lobe = (earthshine * disc + ambient) * (1.0 - around.hidden) + around.mirrored;
    return s.diffuse * (1.0 - s.terms.z) * max(irradiance, 0.0) + specular * lobe;
}

vec4 shade(int face, vec2 pixel) {
    vec4 f0 = texelFetch(faces, face * FACE_TEXELS);
    vec4 f1 = texelFetch(faces, face * FACE_TEXELS + 1);
    vec4 f2 = texelFetch(faces, face * FACE_TEXELS + 2);
    vec4 f3 = texelFetch(faces, face * FACE_TEXELS + 3);
    vec4 f4 = texelFetch(faces, face * FACE_TEXELS + 4);
    vec4 f5 = texelFetch(faces, face * FACE_TEXELS + 5);
    int material = int(f1.w);
    vec4 m0 = texelFetch(materials, material * MATERIAL_TEXELS);      // base colour, roughness
    vec4 m1 = texelFetch(materials, material * MATERIAL_TEXELS + 1);  // metallic, normal scale, layer, variance of slopes
    vec4 m2 = texelFetch(materials, material * MATERIAL_TEXELS + 2);  // emissive, unlit

    vec3 direction = ray_from_pixel * vec3(pixel, 1.0);
    Hit hit = intersect(f0.xyz, f1.xyz, f2.xyz, direction);
    // A centroid can lie outside the one triangle that stands for its surface: extrapolate a little.
    vec2 bc = clamp(hit.barycentric, -0.5, 1.5);
    vec2 dx = (vec2(dot(ray_from_pixel[0], hit.a), dot(ray_from_pixel[0], hit.b))
               - bc * dot(ray_from_pixel[0], hit.n0)) * hit.inverse;
    vec2 dy = (vec2(dot(ray_from_pixel[1], hit.a), dot(ray_from_pixel[1], hit.b))
               - bc * dot(ray_from_pixel[1], hit.n0)) * hit.inverse;
    vec3 point = f0.xyz + bc.x * f1.xyz + bc.y * f2.xyz;

    // Texture lookup, level from the geometric mean of the footprint's axes.
    vec2 st1 = f3.zw;
    vec2 st2 = f4.xy;
    vec2 st = f3.xy + bc.x * st1 + bc.y * st2;
    vec2 st_dx = (dx.x * st1 + dx.y * st2) * TEXTURE_SIZE;
    vec2 st_dy = (dy.x * st1 + dy.y * st2) * TEXTURE_SIZE;
    float lod = 0.25 * log2(max(dot(st_dx, st_dx) * dot(st_dy, st_dy), 1e-12));
#if LEVELS
    lod = min(lod, texelFetch(faces, face * FACE_TEXELS + 6).w);  // see mip_limits.py
#endif
#if WRAP || SECOND
    vec4 m3 = texelFetch(materials, material * MATERIAL_TEXELS + 3);  // opacity, cutoff, wrap, second
    st = wrapped(st, m3.z, lod);
#endif
    vec4 base = textureLod(base_roughness, vec3(st, m1.z), lod);
    vec4 relief = textureLod(normal_metallic, vec3(st, m1.z), lod);
    vec3 emitted = m2.rgb;
#if GLOW
    vec3 glow = textureLod(glow_alpha, vec3(st, m1.z), lod).rgb;
#endif
#if SECOND
    // What lies by the second set of coordinates: 1 metalness and roughness, 2 normals, 4 the glow.
    int by_second = int(m3.w);
    if (by_second != 0) {
        vec4 g0 = texelFetch(faces, face * FACE_TEXELS + SECOND);
        vec4 g1 = texelFetch(faces, face * FACE_TEXELS + SECOND + 1);
        vec2 other_dx = (dx.x * g0.zw + dx.y * g1.xy) * TEXTURE_SIZE;
        vec2 other_dy = (dy.x * g0.zw + dy.y * g1.xy) * TEXTURE_SIZE;
        float level = 0.25 * log2(max(dot(other_dx, other_dx) * dot(other_dy, other_dy), 1e-12));
        vec3 other = vec3(wrapped(g0.xy + bc.x * g0.zw + bc.y * g1.xy, m3.z, level), m1.z);
        vec4 relief2 = textureLod(normal_metallic, other, level);
        if ((by_second & 1) != 0) {
            base.a = textureLod(base_roughness, other, level).a;
            relief.a = relief2.a;
        }
        if ((by_second & 2) != 0) {
            relief.rgb = relief2.rgb;
            st1 = g0.zw;
            st2 = g1.xy;
        }
#if GLOW
        if ((by_second & 4) != 0) glow = textureLod(glow_alpha, other, level).rgb;
#endif
    }
#endif
#if GLOW
    emitted *= glow;
#endif
    vec3 albedo = base.rgb * m0.rgb;
#if COLOURS
    vec3 tint = texelFetch(faces, face * FACE_TEXELS + COLOURS).rgb * (1.0 - bc.x - bc.y)
                + texelFetch(faces, face * FACE_TEXELS + COLOURS + 1).rgb * bc.x
                + texelFetch(faces, face * FACE_TEXELS + COLOURS + 2).rgb * bc.y;
    albedo *= clamp(tint, 0.0, 1.0);
#endif
#if UNLIT
    if (m2.w > 0.5) return vec4(albedo, 1.0);
#endif
    float metallic = relief.a * m1.x;

    // Frames: geometric and shading normals on the viewer's side.
    vec3 view = -normalize(direction);
    vec3 geometric = normalize(-hit.n0);
    vec3 vertex = normalize((1.0 - bc.x - bc.y) * octahedral(f4.zw) + bc.x * octahedral(f5.xy)
                            + bc.y * octahedral(f5.zw));
    float side = dot(geometric, view) < 0.0 ? -1.0 : 1.0;
    geometric *= side;
    vertex *= side;
    float handed = st1.x * st2.y - st2.x * st1.y;
    vec3 tangent = (f1.xyz * st2.y - f2.xyz * st1.y) * (handed < 0.0 ? -1.0 : 1.0);
    tangent -= vertex * dot(vertex, tangent);
    float length2 = dot(tangent, tangent);
    tangent *= length2 > 0.0 ? inversesqrt(length2) : 0.0;
    vec3 bitangent = cross(vertex, tangent) * (handed < 0.0 ? 1.0 : -1.0);
    // Code 128 is a flat surface, exactly; full length is then 254/255 and a little less when rounded.
    vec3 local = relief.xyz * 2.0 - (256.0 / 255.0);
    float shortened = clamp(length(local) * 1.008, 0.05, 1.0);
    local.xy *= m1.y;
    // glTF's green is up in the image, v is down: the bitangent above points along -v.
    vec3 normal = normalize(tangent * local.x + bitangent * local.y + vertex * local.z);

    // Minified relief widens the highlight instead of vanishing (Toksvig, JGT 2005).
    float alpha = max(base.a * m0.w, 0.05);
    alpha *= alpha;
    alpha = sqrt(min(alpha * alpha + (1.0 - shortened) / shortened * m1.y * 0.5, 1.0));

    uint patch = 2u * uint(f0.w) + (side > 0.0 ? 1u : 0u);
    vec3 f_zero = mix(vec3(DIELECTRIC), albedo, metallic);
    float nv = max(dot(normal, view), 0.03);
    vec4 terms = reflectance_at(nv, alpha);
    float all_in = terms.x + terms.y;
    vec3 gain = GAIN * (1.0 + f_zero * ((1.0 - all_in) / all_in));
    float relief_seen = max(m1.w - (1.0 - shortened) / shortened * m1.y * m1.y, 0.0);
    Surface s = Surface(patch, point, view, geometric, vertex, normal, relief_seen,
                        albedo * (1.0 - metallic), f_zero, alpha, nv, terms, gain);
#if HALF_SHADOWS
    return vec4(sunlight * direct(s), 1.0);
#else
    float widest = widest_half_shadow((shadow_from_target * vec4(point, 1.0)).xyz);
    vec3 all = sunlight * direct(s) + indirect(s, face, bc) + emitted;
    float facing = min(min(dot(normal, sun), dot(vertex, sun)), dot(geometric, sun));
    bool half_lit = widest > NARROW && sunlight * facing > 0.0;
    return vec4(min(all, vec3(SUN_RADIANCE)), half_lit ? 0.0 : 1.0);
#endif
}

void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    // Four in a row are a square of pixels here: drivers look up textures at one level for such.
    int number = (at.y >> 1) * (2 * LIST_WIDTH) + (at.x >> 1) * 4 + (at.y & 1) * 2 + (at.x & 1);
    vec4 chosen = texelFetch(samples, number);
    radiance = shade(int(chosen.z), chosen.xy);
}
