/* What the programs share. Each takes a number of rounds and a seed, does the same work in each
 * round, and prints a number that depends on all of it. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static inline uint32_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

static inline uint32_t random_below(uint32_t limit) { return random_next() % limit; }

static uint64_t sum_state = 14695981039346656037u;

static inline void sum_add(uint64_t value) { sum_state = (sum_state ^ value) * 1099511628211u; }

static inline void fail(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static int seed;

/* The first argument is the number of rounds, the second makes the data others. */
static inline int rounds_from(int argc, char **argv, int usual) {
    if (argc > 2) seed = atoi(argv[2]);
    random_state += (uint64_t)seed << 32;
    return argc > 1 ? atoi(argv[1]) : usual;
}

static inline int finish(const char *name) {
    printf("%s %016llx\n", name, (unsigned long long)sum_state);
    return 0;
}

#endif
