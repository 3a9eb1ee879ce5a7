/* A solver for number places: candidates in bits, propagation, and search where it ends. */
#include "program.h"

typedef struct {
    uint16_t cell[81];
    int solved;
} Board;

static int row_of(int place) { return place / 9; }
static int column_of(int place) { return place % 9; }
static int box_of(int place) { return row_of(place) / 3 * 3 + column_of(place) / 3; }
static uint16_t bit(int digit) { return (uint16_t)(1 << digit); }
static bool has(uint16_t set, int digit) { return set & bit(digit); }
static uint16_t without(uint16_t set, uint16_t other) { return set & (uint16_t)~other; }
static bool is_single(uint16_t set) { return set && (set & (set - 1)) == 0; }

static int size(uint16_t set) {
    int count = 0;
    for (; set; set &= set - 1) count++;
    return count;
}

static int lowest(uint16_t set) {
    int digit = 0;
    while (!has(set, digit)) digit++;
    return digit;
}

static bool meet(int a, int b) {
    return a != b && (row_of(a) == row_of(b) || column_of(a) == column_of(b) || box_of(a) == box_of(b));
}

static bool remove_candidates(Board *board, int place, uint16_t digits);

static bool propagate(Board *board, int place) {
    board->solved++;
    for (int other = 0; other < 81; other++)
        if (meet(place, other) && !remove_candidates(board, other, board->cell[place])) return false;
    return true;
}

static bool remove_candidates(Board *board, int place, uint16_t digits) {
    uint16_t before = board->cell[place], after = without(before, digits);
    if (after == before) return true;
    board->cell[place] = after;
    if (!after) return false;
    return is_single(after) ? propagate(board, place) : true;
}

static bool assign(Board *board, int place, int digit) {
    return has(board->cell[place], digit) &&
           remove_candidates(board, place, without(board->cell[place], bit(digit)));
}

static int most_constrained(const Board *board) {
    int best = -1, fewest = 10;
    for (int place = 0; place < 81; place++) {
        int candidates = size(board->cell[place]);
        if (candidates > 1 && candidates < fewest) {
            fewest = candidates;
            best = place;
        }
    }
    return best;
}

static uint32_t tried;

static bool solve(Board *board) {
    int place = most_constrained(board);
    if (place < 0) return true;
    for (uint16_t left = board->cell[place]; left; left &= left - 1) {
        Board copy = *board;
        tried++;
        if (assign(&copy, place, lowest(left)) && solve(&copy)) {
            *board = copy;
            return true;
        }
    }
    return false;
}

static void clear(Board *board) {
    for (int place = 0; place < 81; place++) board->cell[place] = 0x1ff;
    board->solved = 0;
}

static bool read_board(Board *board, const char *text) {
    clear(board);
    for (int place = 0; place < 81; place++)
        if (text[place] != '.' && !assign(board, place, (text[place] - '1' + seed) % 9)) return false;
    return true;
}

static const char *const boards[] = {
    "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......",
    "52...6.........7.13...........4..8..6......5...........418.........3..2...87.....",
    "6.....8.3.4.7.................5.4.7.3..2.....1.6.......2.....5.....8.6......1....",
    "48.3............71.2.......7.5....6....2..8.............1.76...3.....4......5....",
    "....14....3....2...7..........9...3.6.1.............8.2.....1.4....5.6.....7.8...",
};

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 3);
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < 5; i++) {
            Board board;
            tried = 0;
            if (!read_board(&board, boards[i]) || !solve(&board)) fail("no solution");
            for (int place = 0; place < 81; place++) sum_add((uint64_t)lowest(board.cell[place]));
            sum_add(tried);
        }
    return finish("sudoku");
}
