/* Writes a document, reads it into a tree, and asks the tree. */
#include "program.h"

typedef enum { NULL_VALUE, BOOL, NUMBER, STRING, ARRAY, OBJECT } Kind;

typedef struct Value Value;
struct Value {
    Kind kind;
    double number;
    const char *text;
    int length;
    Value *first, *next;
    const char *key;
    int key_length;
};

typedef struct {
    const char *at, *end;
} Reader;

static char arena[1 << 22];
static size_t arena_used;

static void *allocate(size_t bytes) {
    bytes = (bytes + 7) & ~(size_t)7;
    if (arena_used + bytes > sizeof arena) fail("the arena is full");
    void *result = arena + arena_used;
    arena_used += bytes;
    return result;
}

static void free_all(void) { arena_used = 0; }

static Value *new_value(Kind kind) {
    Value *value = allocate(sizeof *value);
    memset(value, 0, sizeof *value);
    value->kind = kind;
    return value;
}

static bool at_end(const Reader *r) { return r->at >= r->end; }
static char peek(const Reader *r) { return at_end(r) ? 0 : *r->at; }
static void advance(Reader *r) { r->at++; }
static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void skip_space(Reader *r) {
    while (is_space(peek(r))) advance(r);
}

static bool accept(Reader *r, char c) {
    skip_space(r);
    if (peek(r) != c) return false;
    advance(r);
    return true;
}

static void expect(Reader *r, char c) {
    if (!accept(r, c)) fail("something else was expected");
}

static bool accept_word(Reader *r, const char *word) {
    const char *at = r->at;
    for (; *word; word++, at++)
        if (at >= r->end || *at != *word) return false;
    r->at = at;
    return true;
}

static void read_string(Reader *r, const char **text, int *length) {
    expect(r, '"');
    *text = r->at;
    while (peek(r) != '"') {
        if (peek(r) == '\\') advance(r);
        if (at_end(r)) fail("a string does not end");
        advance(r);
    }
    *length = (int)(r->at - *text);
    advance(r);
}

static double read_digits(Reader *r) {
    double value = 0;
    while (is_digit(peek(r))) {
        value = value * 10 + (peek(r) - '0');
        advance(r);
    }
    return value;
}

static double read_fraction(Reader *r) {
    double value = 0, scale = 0.1;
    while (is_digit(peek(r))) {
        value += (peek(r) - '0') * scale;
        scale *= 0.1;
        advance(r);
    }
    return value;
}

static Value *read_number(Reader *r) {
    Value *value = new_value(NUMBER);
    bool negative = accept(r, '-');
    value->number = read_digits(r);
    if (accept(r, '.')) value->number += read_fraction(r);
    if (negative) value->number = -value->number;
    return value;
}

static Value *read_value(Reader *r);

static void append(Value ***tail, Value *value) {
    **tail = value;
    *tail = &value->next;
}

static Value *read_array(Reader *r) {
    Value *array = new_value(ARRAY), **tail = &array->first;
    expect(r, '[');
    if (accept(r, ']')) return array;
    do append(&tail, read_value(r));
    while (accept(r, ','));
    expect(r, ']');
    return array;
}

static Value *read_object(Reader *r) {
    Value *object = new_value(OBJECT), **tail = &object->first;
    expect(r, '{');
    if (accept(r, '}')) return object;
    do {
        const char *key;
        int length;
        skip_space(r);
        read_string(r, &key, &length);
        expect(r, ':');
        Value *value = read_value(r);
        value->key = key;
        value->key_length = length;
        append(&tail, value);
    } while (accept(r, ','));
    expect(r, '}');
    return object;
}

static Value *read_value(Reader *r) {
    skip_space(r);
    char c = peek(r);
    if (c == '{') return read_object(r);
    if (c == '[') return read_array(r);
    if (c == '"') {
        Value *value = new_value(STRING);
        read_string(r, &value->text, &value->length);
        return value;
    }
    if (accept_word(r, "null")) return new_value(NULL_VALUE);
    if (accept_word(r, "true") || accept_word(r, "false")) return new_value(BOOL);
    return read_number(r);
}

static bool key_is(const Value *value, const char *key, int length) {
    return value->key_length == length && memcmp(value->key, key, (size_t)length) == 0;
}

static const Value *get(const Value *object, const char *key) {
    int length = (int)strlen(key);
    for (const Value *value = object->first; value; value = value->next)
        if (key_is(value, key, length)) return value;
    return NULL;
}

static double number_of(const Value *value) { return value && value->kind == NUMBER ? value->number : 0; }

static int count(const Value *value) {
    int total = 1;
    for (const Value *inner = value->first; inner; inner = inner->next) total += count(inner);
    return total;
}

static char text[1 << 20];
static size_t text_length;

static void put(const char *what) {
    size_t length = strlen(what);
    memcpy(text + text_length, what, length);
    text_length += length;
}

static void put_number(uint32_t number) {
    char digits[12];
    int at = 12;
    digits[--at] = 0;
    do digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    put(digits + at);
}

static void write_person(int id) {
    put("{\"id\": ");
    put_number((uint32_t)id);
    put(", \"name\": \"person \\\"");
    put_number(random_below(1000));
    put("\\\"\", \"tags\": [true, null, ");
    for (int i = 0; i < 5; i++) {
        put_number(random_below(10000));
        put(".");
        put_number(random_below(100));
        put(", ");
    }
    put("-1], \"place\": {\"x\": ");
    put_number(random_below(500));
    put(", \"y\": ");
    put_number(random_below(500));
    put("}}");
}

static void write_document(int people) {
    text_length = 0;
    put("{\"people\": [");
    for (int id = 0; id < people; id++) {
        if (id) put(",\n  ");
        write_person(id);
    }
    put("]}");
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 40);
    for (int round = 0; round < rounds; round++) {
        write_document(1500);
        Reader reader = {text, text + text_length};
        Value *document = read_value(&reader);
        double total = 0;
        for (const Value *person = get(document, "people")->first; person; person = person->next) {
            const Value *place = get(person, "place");
            total += number_of(get(person, "id")) * number_of(get(place, "x")) - number_of(get(place, "y"));
        }
        sum_add((uint64_t)(int64_t)total);
        sum_add((uint64_t)count(document));
        free_all();
    }
    return finish("json");
}
