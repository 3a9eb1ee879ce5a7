/* The game of life on a torus, cell by cell through accessors, with a rule that is passed along. */
#include "program.h"

enum { WIDTH = 192, HEIGHT = 128 };

typedef struct {
    uint8_t cells[WIDTH * HEIGHT];
} Grid;

typedef uint8_t Rule(uint8_t alive, int neighbours);

static int wrapped(int x, int limit) { return x < 0 ? x + limit : x >= limit ? x - limit : x; }
static int index_of(int x, int y) { return wrapped(y, HEIGHT) * WIDTH + wrapped(x, WIDTH); }
static uint8_t get(const Grid *grid, int x, int y) { return grid->cells[index_of(x, y)]; }
static void set(Grid *grid, int x, int y, uint8_t cell) { grid->cells[index_of(x, y)] = cell; }

static int row(const Grid *grid, int x, int y) {
    return get(grid, x - 1, y) + get(grid, x, y) + get(grid, x + 1, y);
}

static int neighbours(const Grid *grid, int x, int y) {
    return row(grid, x, y - 1) + row(grid, x, y) + row(grid, x, y + 1) - get(grid, x, y);
}

static uint8_t life(uint8_t alive, int count) { return count == 3 || (alive && count == 2); }
static uint8_t high_life(uint8_t alive, int count) { return life(alive, count) || (!alive && count == 6); }

static void step(Grid *to, const Grid *from, Rule *rule) {
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) set(to, x, y, rule(get(from, x, y), neighbours(from, x, y)));
}

static uint64_t population(const Grid *grid) {
    uint64_t total = 0;
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) total += get(grid, x, y);
    return total;
}

static void fill(Grid *grid) {
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) set(grid, x, y, random_below(3) == 0);
}

int main(int argc, char **argv) {
    static Grid grids[2];
    int rounds = rounds_from(argc, argv, 12);
    for (int round = 0; round < rounds; round++) {
        fill(&grids[0]);
        for (int turn = 0; turn < 40; turn++)
            step(&grids[~turn & 1], &grids[turn & 1], round & 1 ? life : high_life);
        sum_add(population(&grids[0]));
        sum_add(get(&grids[0], round, round));
    }
    return finish("life");
}
