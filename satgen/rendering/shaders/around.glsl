// What lies around a point of the target, from what was baked (see bounce.py): included by shade.frag,
// with LOOK as in device.py.

uniform usamplerBuffer nodes;    // a face's steps a side, then the receivers of its lattice
uniform usamplerBuffer around_of; // AROUND_BINS² a receiver: what lies there, plus one, or 0 for the sky
uniform samplerBuffer receivers; // AROUND_TEXELS a receiver, see bounce.py
uniform samplerBuffer tree;      // boxes about faces, see packing.py
uniform usamplerBuffer leaves;   // faces in the tree's order
uniform int tree_boxes;

const float SMOOTH = 0.035;   // GGX roughness up to which a mirror image is traced

struct Around {
    vec3 irradiance;  // over pi, beyond that of free space: what is sent there less the sky that is hidden
    vec3 mirrored;    // radiance seen in a mirror, of what hides the sky
    float hidden;     // share of the mirrored lobe that does not see the sky
};

// The three receivers about a point of a face's lattice, and their weights.
void lattice(int first, vec2 barycentric, out ivec3 receiver, out vec3 weight) {
    int n = int(texelFetch(nodes, first).r);
    vec2 at = max(barycentric, 0.0);
    at *= float(n) / max(at.x + at.y, 1.0);
    ivec2 cell = ivec2(at);
    cell.x = min(cell.x, n - 1);
    cell.y = min(cell.y, n - 1 - cell.x);
    vec2 f = at - vec2(cell);
    int low = first + 1 + cell.x + cell.y * (2 * n + 3 - cell.y) / 2;
    int high = low + n + 1 - cell.y;  // one step along the second edge
    bool upper = f.x + f.y > 1.0;
    weight = upper ? vec3(f.x + f.y - 1.0, 1.0 - f.x, 1.0 - f.y) : vec3(1.0 - f.x - f.y, f.x, f.y);
    receiver = ivec3(texelFetch(nodes, upper ? high + 1 : low).r,
                     texelFetch(nodes, upper ? high : low + 1).r,
                     texelFetch(nodes, upper ? low + 1 : high).r);
}

// Bin of a direction over a receiver: hemi-octahedral coordinates in bins.
vec2 bin(vec3 n, vec3 direction) {
    float s = n.z >= 0.0 ? 1.0 : -1.0;
    float a = -1.0 / (s + n.z);
    float b = n.x * n.y * a;
    vec3 v = vec3(dot(direction, vec3(1.0 + s * n.x * n.x * a, s * b, -s * n.x)),
                  dot(direction, vec3(b, s + n.y * n.y * a, -n.y)),
                  max(dot(direction, n), 0.02));
    vec2 p = v.xy / (abs(v.x) + abs(v.y) + v.z);
    return (vec2(p.x + p.y, p.x - p.y) * 0.5 + 0.5) * float(AROUND_BINS);
}

int bin_at(int receiver, ivec2 cell) {
    cell = clamp(cell, 0, AROUND_BINS - 1);
    return (receiver * AROUND_BINS + cell.x) * AROUND_BINS + cell.y;
}

// The face that a ray meets first, plus one, or 0; `at` are the coordinates along its edges.
int trace(vec3 origin, vec3 direction, out vec2 at) {
    vec3 inverse = 1.0 / direction;
    float nearest = 1e30;
    int found = 0;
    int box = 0;
    while (box < tree_boxes) {
        vec4 low = texelFetch(tree, 2 * box);
        vec4 high = texelFetch(tree, 2 * box + 1);
        vec3 a = (low.xyz - origin) * inverse;
        vec3 b = (high.xyz - origin) * inverse;
        vec3 enter = min(a, b);
        vec3 leave = max(a, b);
        bool missed = max(max(enter.x, enter.y), max(enter.z, 0.0))
                      > min(min(leave.x, leave.y), min(leave.z, nearest));
        int leaf = int(low.w);
        box = missed ? int(high.w) : box + 1;
        if (missed || leaf < 0) continue;
        int first = leaf / (LEAF + 1);
        int end = first + leaf % (LEAF + 1);
        for (int k = first; k < end; k++) {
            int face = int(texelFetch(leaves, k).r);
            vec3 t = origin - texelFetch(faces, face * FACE_TEXELS).xyz;
            vec3 e1 = texelFetch(faces, face * FACE_TEXELS + 1).xyz;
            vec3 e2 = texelFetch(faces, face * FACE_TEXELS + 2).xyz;
            vec3 p = cross(direction, e2);
            vec3 q = cross(t, e1);
            vec3 scaled = vec3(dot(t, p), dot(direction, q), dot(e2, q)) / dot(e1, p);
            if (scaled.x < 0.0 || scaled.y < 0.0 || scaled.x + scaled.y > 1.0) continue;
            if (scaled.z <= 0.0 || scaled.z >= nearest) continue;
            nearest = scaled.z;
            at = scaled.xy;
            found = face + 1;
        }
    }
    return found;
}

// Looks about a point; `alpha` is the surface's GGX roughness.
Around look_around(int face, vec2 barycentric, vec3 point, vec3 geometric, vec3 normal,
                   vec3 mirrored, float alpha) {
    Around found = Around(vec3(0.0), vec3(0.0), 0.0);
    if (LOOK == 0) return found;
    int first = int(texelFetch(faces, face * FACE_TEXELS + 2).w);
    ivec3 receiver;
    vec3 weight;
    lattice(first, barycentric, receiver, weight);
    for (int k = 0; k < 3; k++)
        found.irradiance += weight[k] * texelFetch(receivers, receiver[k] * AROUND_TEXELS).rgb;
    int near = weight.x >= weight.y && weight.x >= weight.z ? receiver.x
             : weight.y >= weight.z ? receiver.y : receiver.z;
    vec3 n = texelFetch(receivers, near * AROUND_TEXELS + 1).xyz;
    vec3 lean = texelFetch(receivers, near * AROUND_TEXELS + 2).xyz;
    // Light that is missing is missing from everywhere.
    float share = clamp(dot(lean, normal), 0.0, 2.0);
    found.irradiance *= mix(vec3(1.0), vec3(share), step(0.0, found.irradiance));
    if (dot(n, geometric) < 0.0) return Around(vec3(0.0), vec3(0.0), 0.0);  // the back of a sheet
    vec2 middle = bin(n, mirrored);
    float spread = 0.5 + 5.0 * alpha;  // half the lobe's width, in bins
    vec2 low = middle - spread;
    vec2 high = middle + spread;
    vec2 part_high = spread > 0.5 ? vec2(0.5) : fract(low);
    for (int k = 0; k < 4; k++) {
        bvec2 upper = bvec2((k & 1) == 1, (k & 2) == 2);
        ivec2 cell = ivec2(floor(vec2(upper.x ? high.x : low.x, upper.y ? high.y : low.y)));
        float part = (upper.x ? part_high.x : 1.0 - part_high.x)
                     * (upper.y ? part_high.y : 1.0 - part_high.y);
        int there = int(texelFetch(around_of, bin_at(near, cell)).r);
        if (there == 0) continue;
        found.hidden += part;
        found.mirrored += part * texelFetch(receivers, (there - 1) * AROUND_TEXELS + 3).rgb;
    }
    // A smooth surface shows an image where there is anything to see.
    if (LOOK == 2 && alpha < SMOOTH && found.hidden > 0.0) {
        vec2 where;
        int seen = trace(point + 1e-3 * geometric, mirrored, where);
        found.hidden = seen == 0 ? 0.0 : 1.0;
        found.mirrored = vec3(0.0);
        if (seen != 0) {
            lattice(int(texelFetch(faces, (seen - 1) * FACE_TEXELS + 2).w), where, receiver, weight);
            for (int k = 0; k < 3; k++)
                found.mirrored += weight[k] * texelFetch(receivers, receiver[k] * AROUND_TEXELS + 3).rgb;
        }
    }
    return found;
}
