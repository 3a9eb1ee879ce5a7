/* Spheres over a plane, with shadows and mirrors: vectors are structures, and each operation on them
 * is a function. */
#include "program.h"
#include <math.h>

typedef struct {
    double x, y, z;
} Vec;

typedef struct {
    Vec origin, direction;
} Ray;

typedef struct {
    Vec center, color;
    double radius, mirror;
} Sphere;

typedef struct {
    double distance;
    Vec point, normal, color;
    double mirror;
} Hit;

static Vec vec(double x, double y, double z) { return (Vec){x, y, z}; }
static Vec plus(Vec a, Vec b) { return vec(a.x + b.x, a.y + b.y, a.z + b.z); }
static Vec minus(Vec a, Vec b) { return vec(a.x - b.x, a.y - b.y, a.z - b.z); }
static Vec times(Vec a, double s) { return vec(a.x * s, a.y * s, a.z * s); }
static double dot(Vec a, Vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static double length(Vec a) { return sqrt(dot(a, a)); }
static Vec unit(Vec a) { return times(a, 1 / length(a)); }
static Vec reflected(Vec d, Vec n) { return minus(d, times(n, 2 * dot(d, n))); }
static Vec at(const Ray *ray, double distance) { return plus(ray->origin, times(ray->direction, distance)); }
static double clamp(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

static const Sphere spheres[] = {
    {{0, 1, 6}, {0.9, 0.2, 0.2}, 1, 0.4},    {{2, 0.6, 5}, {0.2, 0.9, 0.3}, 0.6, 0.2},
    {{-2, 0.8, 5.5}, {0.2, 0.3, 0.9}, 0.8, 0.5}, {{0.8, 0.3, 3.5}, {0.9, 0.8, 0.2}, 0.3, 0.1},
    {{-0.8, 0.4, 4}, {0.8, 0.8, 0.8}, 0.4, 0.7},
};
enum { SPHERES = sizeof spheres / sizeof *spheres };

static const Vec light = {-4, 6, 0};

static double sphere_distance(const Sphere *sphere, const Ray *ray) {
    Vec to = minus(sphere->center, ray->origin);
    double along = dot(to, ray->direction);
    double under = along * along - dot(to, to) + sphere->radius * sphere->radius;
    if (under < 0) return -1;
    return along - sqrt(under);
}

static double plane_distance(const Ray *ray) {
    return ray->direction.y < -1e-6 ? -ray->origin.y / ray->direction.y : -1;
}

static bool is_nearer(double distance, double than) { return distance > 1e-6 && distance < than; }

static Vec floor_color(Vec point) {
    int square = (int)floor(point.x) + (int)floor(point.z);
    return square & 1 ? vec(0.9, 0.9, 0.9) : vec(0.1, 0.1, 0.1);
}

static void hit_plane(Hit *hit, const Ray *ray) {
    double distance = plane_distance(ray);
    if (!is_nearer(distance, hit->distance)) return;
    hit->distance = distance;
    hit->point = at(ray, distance);
    hit->normal = vec(0, 1, 0);
    hit->color = floor_color(hit->point);
    hit->mirror = 0.1;
}

static void hit_sphere(Hit *hit, const Sphere *sphere, const Ray *ray) {
    double distance = sphere_distance(sphere, ray);
    if (!is_nearer(distance, hit->distance)) return;
    hit->distance = distance;
    hit->point = at(ray, distance);
    hit->normal = unit(minus(hit->point, sphere->center));
    hit->color = sphere->color;
    hit->mirror = sphere->mirror;
}

static bool find_hit(Hit *hit, const Ray *ray) {
    hit->distance = 1e9;
    hit_plane(hit, ray);
    for (int i = 0; i < SPHERES; i++) hit_sphere(hit, &spheres[i], ray);
    return hit->distance < 1e9;
}

static bool is_lit(Vec point, Vec to_light) {
    Ray ray = {plus(point, times(to_light, 1e-4)), to_light};
    for (int i = 0; i < SPHERES; i++)
        if (sphere_distance(&spheres[i], &ray) > 1e-6) return false;
    return true;
}

static Vec sky(Vec direction) { return plus(vec(0.4, 0.5, 0.7), times(vec(0.3, 0.3, 0.3), direction.y)); }

static Vec trace(const Ray *ray, int depth) {
    Hit hit;
    if (!find_hit(&hit, ray)) return sky(ray->direction);
    Vec to_light = unit(minus(light, hit.point));
    double bright = 0.2;
    if (is_lit(hit.point, to_light)) bright += 0.8 * clamp(dot(hit.normal, to_light));
    Vec color = times(hit.color, bright);
    if (depth == 0) return color;
    Vec direction = reflected(ray->direction, hit.normal);
    Ray mirrored = {plus(hit.point, times(direction, 1e-4)), direction};
    return plus(times(color, 1 - hit.mirror), times(trace(&mirrored, depth - 1), hit.mirror));
}

static uint32_t pixel(Vec color) {
    uint32_t r = (uint32_t)(clamp(color.x) * 255), g = (uint32_t)(clamp(color.y) * 255);
    return r << 16 | g << 8 | (uint32_t)(clamp(color.z) * 255);
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 5);
    const int width = 320, height = 240;
    for (int round = 0; round < rounds; round++) {
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                Vec to = vec((x - width / 2.0) / height, (height / 2.0 - y) / height, 1);
                Ray ray = {vec(0.1 * (round + seed), 1.2, 0), unit(to)};
                sum_add(pixel(trace(&ray, 3)));
            }
    }
    return finish("raytracer");
}
