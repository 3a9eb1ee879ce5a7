/* Compresses with matches found by hash chains, writes bits, and decompresses again. */
#include "program.h"

enum { SIZE = 1 << 18, WINDOW = 1 << 15, HASHES = 1 << 13, SHORTEST = 4, LONGEST = 67, CHAIN = 16 };

typedef struct {
    uint8_t *bytes;
    size_t bit;
} Bits;

typedef struct {
    int length, distance;
} Match;

static uint8_t input[SIZE], packed[SIZE * 2], output[SIZE];
static int32_t heads[HASHES], chain[SIZE];

static void put_bit(Bits *bits, unsigned bit) {
    uint8_t mask = (uint8_t)(1u << (bits->bit & 7));
    uint8_t *byte = &bits->bytes[bits->bit++ >> 3];
    *byte = bit ? *byte | mask : *byte & (uint8_t)~mask;
}

static unsigned get_bit(Bits *bits) {
    unsigned byte = bits->bytes[bits->bit >> 3];
    return byte >> (bits->bit++ & 7) & 1;
}

static void put_bits(Bits *bits, unsigned value, int count) {
    for (int i = 0; i < count; i++) put_bit(bits, value >> i & 1);
}

static unsigned get_bits(Bits *bits, int count) {
    unsigned value = 0;
    for (int i = 0; i < count; i++) value |= get_bit(bits) << i;
    return value;
}

static uint32_t word_at(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t hash(uint32_t word) { return word * 2654435761u >> 19; }
static int oldest(int at) { return at > WINDOW ? at - WINDOW : 0; }
static int smaller(int a, int b) { return a < b ? a : b; }
static bool is_match(Match match) { return match.length >= SHORTEST; }
static Match better(Match a, Match b) { return b.length > a.length ? b : a; }

static int common(int a, int b) {
    int length = 0, most = smaller(LONGEST, SIZE - b);
    while (length < most && input[a + length] == input[b + length]) length++;
    return length;
}

static void remember(int at) {
    if (at + 4 > SIZE) return;
    int32_t *head = &heads[hash(word_at(input + at))];
    chain[at] = *head;
    *head = at;
}

static Match find(int at) {
    Match best = {0, 0};
    if (at + 4 > SIZE) return best;
    int32_t candidate = heads[hash(word_at(input + at))];
    for (int tries = 0; tries < CHAIN && candidate >= oldest(at) && candidate >= 0; tries++) {
        best = better(best, (Match){common(candidate, at), at - candidate});
        candidate = chain[candidate];
    }
    return best;
}

static void put_literal(Bits *bits, uint8_t byte) {
    put_bit(bits, 0);
    put_bits(bits, byte, 8);
}

static void put_match(Bits *bits, Match match) {
    put_bit(bits, 1);
    put_bits(bits, (unsigned)(match.length - SHORTEST), 6);
    put_bits(bits, (unsigned)match.distance, 16);
}

static size_t compress(void) {
    Bits bits = {packed, 0};
    for (int i = 0; i < HASHES; i++) heads[i] = -1;
    for (int at = 0; at < SIZE;) {
        Match match = find(at);
        int length = is_match(match) ? match.length : 1;
        if (is_match(match)) put_match(&bits, match);
        else put_literal(&bits, input[at]);
        while (length--) remember(at++);
    }
    return bits.bit;
}

static Match get_match(Bits *bits) {
    int length = (int)get_bits(bits, 6) + SHORTEST;
    return (Match){length, (int)get_bits(bits, 16)};
}

static int copy(Match match, int at) {
    for (int i = 0; i < match.length; i++, at++) output[at] = output[at - match.distance];
    return at;
}

static void decompress(void) {
    Bits bits = {packed, 0};
    for (int at = 0; at < SIZE;) {
        if (get_bit(&bits)) at = copy(get_match(&bits), at);
        else output[at++] = (uint8_t)get_bits(&bits, 8);
    }
}

static void make_input(void) {
    int at = 0;
    while (at < SIZE) {
        int length = smaller(4 + (int)random_below(40), SIZE - at);
        bool again = at > 1000 && random_below(3) > 0;
        int from = again ? at - 1 - (int)random_below(900) : 0;
        for (int i = 0; i < length; i++, at++)
            input[at] = again ? input[from + i] : (uint8_t)('a' + random_below(20));
    }
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 20);
    for (int round = 0; round < rounds; round++) {
        make_input();
        sum_add(compress());
        decompress();
        if (memcmp(input, output, SIZE)) fail("the output is different");
        sum_add(output[SIZE / 2]);
    }
    return finish("lz");
}
