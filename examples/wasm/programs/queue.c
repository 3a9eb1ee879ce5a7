/* A priority queue as a heap, ordered by a comparator that is passed along: shortest ways through a
 * grid, and the order of events. */
#include "program.h"

typedef struct {
    int64_t key;
    int32_t item, order;
} Entry;

typedef bool Before(const Entry *a, const Entry *b);

enum { CAPACITY = 1 << 16, SIDE = 160 };

typedef struct {
    Entry entries[CAPACITY];
    int length;
    Before *before;
} Queue;

static int parent(int i) { return (i - 1) / 2; }
static int left(int i) { return 2 * i + 1; }
static int right(int i) { return 2 * i + 2; }
static bool is_empty(const Queue *q) { return q->length == 0; }
static Entry *entry_at(Queue *q, int i) { return &q->entries[i]; }
static bool precedes(Queue *q, int a, int b) { return q->before(entry_at(q, a), entry_at(q, b)); }

static void swap(Queue *q, int a, int b) {
    Entry entry = *entry_at(q, a);
    *entry_at(q, a) = *entry_at(q, b);
    *entry_at(q, b) = entry;
}

static void rise(Queue *q, int i) {
    while (i > 0 && precedes(q, i, parent(i))) {
        swap(q, i, parent(i));
        i = parent(i);
    }
}

static int first_child(Queue *q, int i) {
    if (right(i) < q->length && precedes(q, right(i), left(i))) return right(i);
    return left(i);
}

static void sink(Queue *q, int i) {
    while (left(i) < q->length) {
        int child = first_child(q, i);
        if (!precedes(q, child, i)) return;
        swap(q, child, i);
        i = child;
    }
}

static void push(Queue *q, int64_t key, int32_t item) {
    static int32_t order;
    if (q->length >= CAPACITY) fail("the queue is full");
    *entry_at(q, q->length) = (Entry){key, item, order++};
    rise(q, q->length++);
}

static Entry pop(Queue *q) {
    Entry first = *entry_at(q, 0);
    *entry_at(q, 0) = *entry_at(q, --q->length);
    sink(q, 0);
    return first;
}

static bool is_less(int64_t a, int64_t b) { return a < b; }
static bool nearest(const Entry *a, const Entry *b) { return is_less(a->key, b->key); }
static bool latest(const Entry *a, const Entry *b) {
    return is_less(b->key, a->key) || (a->key == b->key && is_less(a->order, b->order));
}

static uint8_t cost[SIDE * SIDE];
static int64_t best[SIDE * SIDE];

static bool is_inside(int x, int y) { return x >= 0 && y >= 0 && x < SIDE && y < SIDE; }
static int place(int x, int y) { return y * SIDE + x; }

static void relax(Queue *q, int x, int y, int64_t distance) {
    if (!is_inside(x, y)) return;
    int at = place(x, y);
    distance += cost[at];
    if (distance >= best[at]) return;
    best[at] = distance;
    push(q, distance, at);
}

static int64_t shortest(Queue *q) {
    for (int i = 0; i < SIDE * SIDE; i++) best[i] = INT64_MAX;
    best[0] = 0;
    push(q, 0, 0);
    while (!is_empty(q)) {
        Entry entry = pop(q);
        if (entry.key > best[entry.item]) continue;
        int x = entry.item % SIDE, y = entry.item / SIDE;
        relax(q, x + 1, y, entry.key);
        relax(q, x, y + 1, entry.key);
        relax(q, x - 1, y, entry.key);
        relax(q, x, y - 1, entry.key);
    }
    return best[SIDE * SIDE - 1];
}

int main(int argc, char **argv) {
    static Queue queue;
    int rounds = rounds_from(argc, argv, 20);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < SIDE * SIDE; i++) cost[i] = (uint8_t)(1 + random_below(90));
        queue.before = nearest;
        sum_add((uint64_t)shortest(&queue));
        queue.before = latest;
        for (int i = 0; i < 30000; i++) push(&queue, random_below(5000), i);
        for (int i = 0; !is_empty(&queue); i++) {
            Entry entry = pop(&queue);
            if (i % 1000 == 0) sum_add((uint64_t)(entry.key * 31 + entry.item));
        }
    }
    return finish("queue");
}
