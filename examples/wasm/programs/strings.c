/* A string builder: appending, numbers, padding, splitting, replacing, and comparing. */
#include "program.h"

typedef struct {
    char *bytes;
    size_t length, capacity;
} Builder;

typedef struct {
    const char *start;
    size_t length;
} Slice;

static Slice slice(const char *start, size_t length) { return (Slice){start, length}; }
static Slice text(const char *text) { return slice(text, strlen(text)); }
static bool is_empty(Slice s) { return s.length == 0; }
static char first(Slice s) { return s.start[0]; }
static Slice rest(Slice s) { return slice(s.start + 1, s.length - 1); }
static void clear(Builder *b) { b->length = 0; }
static Slice built(const Builder *b) { return slice(b->bytes, b->length); }

static void grow(Builder *b) {
    b->capacity = b->capacity ? b->capacity * 2 : 64;
    b->bytes = realloc(b->bytes, b->capacity);
    if (!b->bytes) fail("no memory");
}

static void append_char(Builder *b, char c) {
    if (b->length == b->capacity) grow(b);
    b->bytes[b->length++] = c;
}

static void append(Builder *b, Slice s) {
    for (; !is_empty(s); s = rest(s)) append_char(b, first(s));
}

static void pad(Builder *b, size_t width, char with) {
    while (b->length % width) append_char(b, with);
}

static char digit(unsigned value) { return (char)(value < 10 ? '0' + value : 'a' + value - 10); }

static void append_number(Builder *b, unsigned number, unsigned base) {
    if (number >= base) append_number(b, number / base, base);
    append_char(b, digit(number % base));
}

static bool starts_with(Slice s, Slice with) {
    if (s.length < with.length) return false;
    for (; !is_empty(with); s = rest(s), with = rest(with))
        if (first(s) != first(with)) return false;
    return true;
}

static Slice skip(Slice s, size_t count) { return slice(s.start + count, s.length - count); }

static size_t find(Slice s, char c) {
    size_t at = 0;
    while (at < s.length && s.start[at] != c) at++;
    return at;
}

static void replace(Builder *b, Slice s, Slice what, Slice with) {
    while (!is_empty(s)) {
        if (starts_with(s, what)) {
            append(b, with);
            s = skip(s, what.length);
        } else {
            append_char(b, first(s));
            s = rest(s);
        }
    }
}

static char upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 32) : c; }

static int compare_ignoring_case(Slice a, Slice b) {
    for (; !is_empty(a) && !is_empty(b); a = rest(a), b = rest(b))
        if (upper(first(a)) != upper(first(b))) return upper(first(a)) < upper(first(b)) ? -1 : 1;
    return (a.length > b.length) - (a.length < b.length);
}

static uint32_t mix(uint32_t hash, char c) { return hash * 31 + (uint8_t)c; }

static uint32_t hash(Slice s) {
    uint32_t result = 7;
    for (; !is_empty(s); s = rest(s)) result = mix(result, first(s));
    return result;
}

static void write_line(Builder *b, unsigned number) {
    append(b, text("item "));
    append_number(b, number, 10);
    append(b, text(": value=0x"));
    append_number(b, random_next(), 16);
    append(b, text(", name=Some Name"));
    pad(b, 8, '.');
    append_char(b, '\n');
}

static int count_sorted(Slice lines) {
    int sorted = 0;
    Slice before = slice(NULL, 0);
    while (!is_empty(lines)) {
        size_t end = find(lines, '\n');
        Slice line = slice(lines.start, end);
        sorted += compare_ignoring_case(before, line) <= 0;
        before = line;
        lines = skip(lines, end + 1);
    }
    return sorted;
}

int main(int argc, char **argv) {
    Builder lines = {NULL, 0, 0}, replaced = {NULL, 0, 0};
    int rounds = rounds_from(argc, argv, 60);
    for (int round = 0; round < rounds; round++) {
        clear(&lines);
        clear(&replaced);
        for (unsigned i = 0; i < 4000; i++) write_line(&lines, i * 7);
        replace(&replaced, built(&lines), text("name="), text("called: "));
        sum_add(hash(built(&replaced)));
        sum_add((uint64_t)count_sorted(built(&replaced)));
    }
    free(lines.bytes);
    free(replaced.bytes);
    return finish("strings");
}
