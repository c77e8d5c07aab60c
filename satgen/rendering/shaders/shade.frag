#version 330 core
// Shades a list of samples: each pixel of the output is one point of one triangle.

layout(location = 0) out vec4 radiance;  // linear RGB

uniform samplerBuffer samples;       // u, v in pixels, face, -
uniform samplerBuffer faces;         // FACE_TEXELS a face, see packing.py
uniform samplerBuffer materials;     // MATERIAL_TEXELS a material
uniform sampler2DArray base_roughness;   // sRGB base colour, linear roughness in alpha
uniform sampler2DArray normal_metallic;  // tangent-space normal, metallic in alpha
uniform sampler2DShadow shadow_map;

uniform mat3 ray_from_pixel;     // (u, v, 1) -> target-frame direction with camera z = 1
uniform vec3 eye;                // camera centre, target frame, about the model's centre
uniform vec3 sun;                // unit vector to the sun, target frame
uniform vec3 earth;              // unit vector to the Earth, target frame
uniform mat4 shadow_from_target;
uniform float shadow_step;       // filter step in texture units
uniform float shadow_offset;     // metres along the normal at which the shadow map is read
uniform vec3 earthshine;         // mean radiance of the Earth's disc
uniform float sunlight;          // share of the sun's light that reaches the target
uniform float ambient;           // radiance of everything else
uniform float cos_earth_limb;

const float PI = 3.14159265;

// What is shaded: a point, its frame on the viewer's side, and how it reflects.
struct Surface {
    vec3 point;      // target frame, metres
    vec3 view;       // unit vector to the eye
    vec3 geometric;  // the triangle's normal
    vec3 normal;     // with the relief of the normal map
    vec3 diffuse;    // albedo of what is not mirrored
    vec3 f_zero;     // reflectance at normal incidence
    float alpha;     // GGX roughness
    float nv;        // cosine between normal and view
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

float sunlit(vec3 point) {
    vec3 s = (shadow_from_target * vec4(point, 1.0)).xyz;
    float d = shadow_step;
    return 0.25 * (texture(shadow_map, s + vec3(-d, -d, 0.0)) + texture(shadow_map, s + vec3(d, -d, 0.0))
                 + texture(shadow_map, s + vec3(-d, d, 0.0)) + texture(shadow_map, s + vec3(d, d, 0.0)));
}

// Radiance that the sun's light leaves with. Its irradiance is pi, so that a white Lambertian surface
// facing it has radiance one.
vec3 direct(Surface s) {
    float nl = max(dot(s.normal, sun), 0.0);
    float facing = smoothstep(-0.01, 0.08, dot(s.geometric, sun));
    vec3 h = normalize(s.view + sun);
    float nh = clamp(dot(s.normal, h), 0.0, 1.0);
    float t = nh * nh * (s.alpha * s.alpha - 1.0) + 1.0;
    float distribution = s.alpha * s.alpha / (PI * t * t);                      // GGX
    float k = 0.5 * s.alpha;
    float masking = 0.25 / ((nl * (1.0 - k) + k) * (s.nv * (1.0 - k) + k));     // Smith, Schlick's form
    float vh = 1.0 - max(dot(s.view, h), 0.0);
    float vh2 = vh * vh;
    vec3 fresnel = s.f_zero + (1.0 - s.f_zero) * (vh2 * vh2 * vh);
    return (s.diffuse + PI * distribution * masking * fresnel)
           * (nl * facing * sunlit(s.point + s.geometric * shadow_offset));
}

// Radiance from all that is not the sun: the Earth, a disc of uniform radiance that is seen diffusely
// and mirrored, and an ambient light from everywhere else.
vec3 indirect(Surface s, int face, vec2 barycentric) {
    float toward = 0.5 + 0.5 * dot(s.normal, earth);
    vec3 mirrored = reflect(-s.view, s.normal);
    float soft = 0.1 + s.alpha;
    float disc = smoothstep(cos_earth_limb - soft, cos_earth_limb + soft, dot(mirrored, earth));
    return s.diffuse * (earthshine * (toward * toward) + ambient)
           + s.f_zero * (earthshine * disc + ambient);
}

vec3 shade(int face, vec2 pixel) {
    vec4 f0 = texelFetch(faces, face * FACE_TEXELS);
    vec4 f1 = texelFetch(faces, face * FACE_TEXELS + 1);
    vec4 f2 = texelFetch(faces, face * FACE_TEXELS + 2);
    vec4 f3 = texelFetch(faces, face * FACE_TEXELS + 3);
    vec4 f4 = texelFetch(faces, face * FACE_TEXELS + 4);
    vec4 f5 = texelFetch(faces, face * FACE_TEXELS + 5);
    int material = int(f1.w);
    vec4 m0 = texelFetch(materials, material * MATERIAL_TEXELS);      // base colour, roughness
    vec4 m1 = texelFetch(materials, material * MATERIAL_TEXELS + 1);  // metallic, normal scale, layer, -
    vec4 m2 = texelFetch(materials, material * MATERIAL_TEXELS + 2);  // emissive, -

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
    vec4 base = textureLod(base_roughness, vec3(st, m1.z), lod);
    vec4 relief = textureLod(normal_metallic, vec3(st, m1.z), lod);
    vec3 albedo = base.rgb * m0.rgb;
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

    Surface s = Surface(point, view, geometric, normal, albedo * (1.0 - metallic),
                        mix(vec3(0.04), albedo, metallic), alpha, max(dot(normal, view), 0.03));
    return sunlight * direct(s) + indirect(s, face, bc) + m2.rgb;
}

void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    vec4 chosen = texelFetch(samples, at.y * LIST_WIDTH + at.x);
    radiance = vec4(min(shade(int(chosen.z), chosen.xy), vec3(60000.0)), 1.0);
}
