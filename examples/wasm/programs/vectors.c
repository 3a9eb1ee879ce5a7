/* Growing vectors behind accessors, with maps, filters and sorts that take callbacks. */
#include "program.h"

typedef struct {
    int32_t *items;
    size_t length, capacity;
} Vector;

typedef struct {
    const Vector *vector;
    size_t index;
} Iterator;

typedef int32_t Map(int32_t item);
typedef bool Keep(int32_t item);
typedef int Compare(int32_t a, int32_t b);

static void init(Vector *v) { *v = (Vector){NULL, 0, 0}; }
static void destroy(Vector *v) { free(v->items); }
static size_t length(const Vector *v) { return v->length; }
static bool in_bounds(const Vector *v, size_t index) { return index < length(v); }

static void check(const Vector *v, size_t index) {
    if (!in_bounds(v, index)) fail("out of bounds");
}

static int32_t get(const Vector *v, size_t index) {
    check(v, index);
    return v->items[index];
}

static void set(Vector *v, size_t index, int32_t item) {
    check(v, index);
    v->items[index] = item;
}

static void reserve(Vector *v, size_t capacity) {
    if (capacity <= v->capacity) return;
    v->capacity = v->capacity ? v->capacity * 2 : 8;
    v->items = realloc(v->items, v->capacity * sizeof *v->items);
    if (!v->items) fail("no memory");
}

static void push(Vector *v, int32_t item) {
    reserve(v, length(v) + 1);
    v->items[v->length++] = item;
}

static void swap(Vector *v, size_t a, size_t b) {
    int32_t item = get(v, a);
    set(v, a, get(v, b));
    set(v, b, item);
}

static Iterator iterate(const Vector *v) { return (Iterator){v, 0}; }
static bool has_next(const Iterator *it) { return in_bounds(it->vector, it->index); }
static int32_t next(Iterator *it) { return get(it->vector, it->index++); }

static void map(Vector *v, Map *f) {
    for (size_t i = 0; i < length(v); i++) set(v, i, f(get(v, i)));
}

static void filter(Vector *to, const Vector *from, Keep *keep) {
    for (Iterator it = iterate(from); has_next(&it);) {
        int32_t item = next(&it);
        if (keep(item)) push(to, item);
    }
}

static int64_t sum(const Vector *v) {
    int64_t total = 0;
    for (Iterator it = iterate(v); has_next(&it);) total += next(&it);
    return total;
}

static size_t partition(Vector *v, size_t from, size_t to, Compare *compare) {
    int32_t pivot = get(v, from + (to - 1 - from) / 2);
    size_t low = from, high = to - 1;
    for (;;) {
        while (compare(get(v, low), pivot) < 0) low++;
        while (compare(get(v, high), pivot) > 0) high--;
        if (low >= high) return high + 1;
        swap(v, low++, high--);
    }
}

static void sort(Vector *v, size_t from, size_t to, Compare *compare) {
    if (to - from < 2) return;
    size_t middle = partition(v, from, to, compare);
    sort(v, from, middle, compare);
    sort(v, middle, to, compare);
}

static int32_t halve(int32_t item) { return item / 2; }
static int32_t mixed(int32_t item) { return (int32_t)((uint32_t)item * 2654435761u >> 4); }
static bool is_odd(int32_t item) { return item & 1; }
static int ascending(int32_t a, int32_t b) { return a < b ? -1 : a > b; }
static int descending(int32_t a, int32_t b) { return ascending(b, a); }

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 12);
    for (int round = 0; round < rounds; round++) {
        Vector all, odd;
        init(&all);
        init(&odd);
        for (int i = 0; i < 100000; i++) push(&all, (int32_t)random_below(1 << 28));
        map(&all, mixed);
        map(&all, halve);
        filter(&odd, &all, is_odd);
        sort(&odd, 0, length(&odd), round & 1 ? ascending : descending);
        sum_add((uint64_t)sum(&all));
        sum_add((uint64_t)sum(&odd));
        sum_add((uint64_t)get(&odd, length(&odd) / 3));
        destroy(&all);
        destroy(&odd);
    }
    return finish("vectors");
}
