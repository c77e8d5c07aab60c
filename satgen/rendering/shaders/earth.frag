#version 330 core
// The Earth behind the target, one ray a pixel. The same model as satgen/surroundings/earth.py, which
// says what the numbers are; here with all its detail, filtered to what a pixel sees.

layout(location = 0) out vec4 radiance;  // linear RGB, and the share of the pixel that is not sky

uniform sampler2D rays;         // x, y of the ray with camera z = 1
uniform sampler2D land;         // share of land
uniform sampler2D ground;       // colour of the land, sRGB
uniform sampler3D noise;        // four fields of tileable noise about one half

uniform mat3 ground_from_cam;
uniform vec3 up;                // from the Earth's centre to the camera, unit vector, Earth axes
uniform float radius;           // distance from the Earth's centre, Earth radii
uniform vec3 sun;               // unit vector, Earth axes
uniform float pixel;            // angle of a pixel, radians

const float PI = 3.14159265;

vec4 field(vec3 at, float frequency, vec3 offset, float footprint) {
    float level = log2(max(footprint * frequency * NOISE_SIDE, 1.0));
    return textureLod(noise, at * frequency + offset, level) - 0.5;
}

float air_mass(float cosine) {
    float c = max(cosine, 0.0);
    return 1.0 / (c + 0.0286 * exp(-8.5 * c));
}

vec3 scattered(float mu, float mu_sun, vec3 tau, float phase) {
    // First order, plane layers, with the air masses of a sphere.
    float m = air_mass(mu), m_sun = air_mass(mu_sun);
    return SCATTER_GAIN * 0.25 * phase * (m / (m + m_sun)) * (1.0 - exp(-tau * (m + m_sun)));
}

void main() {
    vec2 xy = texelFetch(rays, ivec2(gl_FragCoord.xy), 0).xy;
    vec3 d = ground_from_cam * normalize(vec3(xy, 1.0));
    float along = dot(d, up);
    // Of the ray and the Earth's centre: squared distance, from the angle to nadir, which keeps
    // its precision near the limb.
    vec3 across = radius * (d - along * up);
    float p = length(across);
    float reach = -radius * along;   // to the point nearest to the centre
    radiance = vec4(0.0);
    if (reach <= 0.0 || p > 1.0 + ATMOSPHERE) return;

    float cos_scatter = dot(d, sun);
    float rayleigh = 0.75 * (1.0 + cos_scatter * cos_scatter);
    vec3 tau = vec3(TAU_R, TAU_G, TAU_B);
    // Beyond the limb: the air along a grazing ray.
    float edge = pixel * reach;      // a pixel's width there
    float inside = clamp((1.0 - p) / edge + 0.5, 0.0, 1.0);
    if (inside < 1.0) {
        vec3 lowest = normalize(radius * up + reach * d);
        float height = max(p - 1.0, 0.0);
        float mu_sun = dot(lowest, sun);
        vec3 slant = tau * (GRAZING * exp(-height / SCALE_HEIGHT));
        float lit = smoothstep(-0.10, 0.05, mu_sun);
        vec3 through = exp(-tau * min(air_mass(mu_sun), 1.0 / 0.0286) * exp(-height / SCALE_HEIGHT));
        radiance.rgb = SCATTER_GAIN * 0.25 * rayleigh * lit * through * (1.0 - exp(-slant));
        radiance.a = 0.0;
    }
    if (inside <= 0.0) return;

    float distance = reach - sqrt(max(1.0 - p * p, 0.0));
    vec3 n = normalize(radius * up + distance * d);
    float mu = max(-dot(n, d), 0.0);
    float mu_sun = dot(n, sun);
    // Side of the square of a pixel's area on the ground.
    float footprint = pixel * distance * inversesqrt(max(mu, 0.02));

    vec3 q = n * vec3(1.0, 1.0, FLATTEN);
    vec3 warp = field(q, F_WARP, vec3(0.11, 0.57, 0.31), footprint).gba;
    float base = field(q + 0.22 * warp, F_BASE, vec3(0.43, 0.19, 0.71), footprint).r;
    float mid = field(q + 0.05 * warp, F_MID, vec3(0.27, 0.83, 0.05), footprint).g;
    vec4 small = field(q, F_FINE, vec3(0.61, 0.37, 0.91), footprint);
    vec4 finest = field(n, F_FINEST, vec3(0.17, 0.73, 0.53), footprint);
    float density = base + W_MID * mid + W_FINE * small.b + W_FINEST * finest.a;
    float s = abs(n.z);
    float threshold = CLEAR + 0.13 * exp(-40.0 * (s - 0.36) * (s - 0.36))
                    - 0.13 * exp(-14.0 * (s - 0.84) * (s - 0.84)) - 0.05 * exp(-200.0 * s * s);
    float cloud = smoothstep(threshold, threshold + CLOUD_WIDTH, density);

    vec2 st = vec2(atan(n.y, n.x) / (2.0 * PI) + 0.5, acos(clamp(n.z, -1.0, 1.0)) / PI);
    float level = log2(max(footprint * LAND_HEIGHT / PI, 1.0));
    float shore = textureLod(land, st, level).r + 0.5 * (finest.b + small.a);
    float soft = clamp(0.06 + footprint * LAND_HEIGHT / PI * 0.2, 0.06, 0.5);
    float dry = smoothstep(0.5 - soft, 0.5 + soft, shore);
    vec3 soil = textureLod(ground, st, max(level - 2.0, 0.0)).rgb * SOIL_GAIN + SOIL_OFFSET;
    soil *= 1.0 + 0.9 * mid + 0.7 * small.a + 0.7 * finest.b;
    float ice = smoothstep(0.0, 0.05, (n.z > 0.0 ? s - 0.955 : s - 0.92) + 0.08 * mid);
    vec3 sea = mix(vec3(SEA_R, SEA_G, SEA_B), vec3(0.62, 0.65, 0.67) * (1.0 + 0.6 * finest.b), ice);
    vec3 albedo = mix(sea, max(soil, 0.0), dry);

    float sunny = max(mu_sun, 0.0);
    // Cox and Munk's glint on open water.
    vec3 h = normalize(sun - d);
    float nh = dot(n, h);
    float tilt = (1.0 - nh * nh) / max(nh * nh, 1e-4);
    float facet = 1.0 - max(-dot(d, h), 0.0);
    float fresnel = 0.02 + 0.98 * facet * facet * facet * facet * facet;
    float glint = fresnel * exp(-tilt / SLOPE2) / (4.0 * SLOPE2 * max(nh * nh * nh * nh, 1e-4) * max(mu, 0.05));
    glint *= (1.0 - dry) * (1.0 - ice) * smoothstep(0.0, 0.05, mu_sun);
    vec3 below = albedo * sunny + glint;
    // Clouds: brighter where thick, and shaded by their own relief toward the terminator.
    float thick = CLOUD_ALBEDO * (0.45 + 0.55 * cloud) * (1.0 + (0.5 + 0.4 * (1.0 - sunny)) * (small.a + 0.5 * finest.b));
    float cover = cloud * (2.0 - cloud);
    float m = air_mass(mu), m_sun = air_mass(mu_sun);
    vec3 air = tau * (1.0 - 0.6 * cover);
    vec3 through = exp(-0.5 * air * (m + m_sun));
    float twilight = smoothstep(-0.10, 0.05, mu_sun);
    vec3 seen = mix(below, vec3(thick * sunny), cover) * through
              + scattered(mu, mu_sun, air, rayleigh) * twilight;
    radiance.rgb = mix(radiance.rgb, seen, inside);
    radiance.a = inside;
}
