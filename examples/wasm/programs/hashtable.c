/* A table with open addressing that is told how to hash and to compare, and visits its entries with
 * a callback. Words are counted in it. */
#include "program.h"

typedef struct {
    const void *key;
    uint32_t hash;
    int64_t value;
} Entry;

typedef uint32_t Hash(const void *key);
typedef bool Equal(const void *a, const void *b);
typedef void Visit(void *state, const void *key, int64_t value);

typedef struct {
    Entry *entries;
    size_t capacity, used;
    Hash *hash;
    Equal *equal;
} Table;

static bool is_free(const Entry *entry) { return entry->key == NULL; }
static size_t wrap(const Table *table, size_t index) { return index & (table->capacity - 1); }
static bool is_crowded(const Table *table) { return table->used * 4 >= table->capacity * 3; }

static void init(Table *table, Hash *hash, Equal *equal) {
    table->capacity = 16;
    table->used = 0;
    table->entries = calloc(table->capacity, sizeof(Entry));
    table->hash = hash;
    table->equal = equal;
}

static void destroy(Table *table) { free(table->entries); }

static bool matches(const Table *table, const Entry *entry, uint32_t hash, const void *key) {
    return entry->hash == hash && table->equal(entry->key, key);
}

static Entry *find(const Table *table, const void *key, uint32_t hash) {
    size_t index = wrap(table, hash);
    for (;;) {
        Entry *entry = &table->entries[index];
        if (is_free(entry) || matches(table, entry, hash, key)) return entry;
        index = wrap(table, index + 1);
    }
}

static void fill(Entry *entry, const void *key, uint32_t hash, int64_t value) {
    entry->key = key;
    entry->hash = hash;
    entry->value = value;
}

static void grow(Table *table) {
    Table larger = *table;
    larger.capacity *= 2;
    larger.entries = calloc(larger.capacity, sizeof(Entry));
    if (!larger.entries) fail("no memory");
    for (size_t i = 0; i < table->capacity; i++) {
        const Entry *entry = &table->entries[i];
        if (!is_free(entry)) *find(&larger, entry->key, entry->hash) = *entry;
    }
    free(table->entries);
    *table = larger;
}

static int64_t *value_of(Table *table, const void *key) {
    if (is_crowded(table)) grow(table);
    uint32_t hash = table->hash(key);
    Entry *entry = find(table, key, hash);
    if (is_free(entry)) {
        fill(entry, key, hash, 0);
        table->used++;
    }
    return &entry->value;
}

static bool contains(const Table *table, const void *key) { return !is_free(find(table, key, table->hash(key))); }

static void each(const Table *table, Visit *visit, void *state) {
    for (size_t i = 0; i < table->capacity; i++)
        if (!is_free(&table->entries[i])) visit(state, table->entries[i].key, table->entries[i].value);
}

static uint32_t mix(uint32_t hash, uint8_t byte) { return (hash ^ byte) * 16777619u; }

static uint32_t hash_string(const void *key) {
    uint32_t hash = 2166136261u;
    for (const char *c = key; *c; c++) hash = mix(hash, (uint8_t)*c);
    return hash;
}

static bool equal_strings(const void *a, const void *b) { return strcmp(a, b) == 0; }
static uint32_t hash_pointer(const void *key) { return (uint32_t)(uintptr_t)key * 2654435761u; }
static bool equal_pointers(const void *a, const void *b) { return a == b; }

static char words[4096][8];

static void make_word(char *word) {
    int length = 2 + (int)random_below(5);
    for (int i = 0; i < length; i++) word[i] = (char)('a' + random_below(6));
    word[length] = 0;
}

static void add_up(void *state, const void *key, int64_t value) {
    (void)key;
    *(int64_t *)state += value * value;
}

static void keep_largest(void *state, const void *key, int64_t value) {
    (void)key;
    int64_t *largest = state;
    if (value > *largest) *largest = value;
}

static void count_words(Table *table, int n) {
    for (int i = 0; i < n; i++) ++*value_of(table, words[random_below(4096)]);
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 12);
    for (int i = 0; i < 4096; i++) make_word(words[i]);
    for (int round = 0; round < rounds; round++) {
        Table by_text, by_place;
        init(&by_text, hash_string, equal_strings);
        init(&by_place, hash_pointer, equal_pointers);
        count_words(&by_text, 200000);
        count_words(&by_place, 200000);
        int64_t squares = 0, largest = 0;
        each(&by_text, add_up, &squares);
        each(&by_place, keep_largest, &largest);
        int found = 0;
        for (int i = 0; i < 4096; i++) found += contains(&by_place, words[i]) + contains(&by_text, words[i]);
        sum_add((uint64_t)squares);
        sum_add((uint64_t)largest);
        sum_add((uint64_t)found);
        destroy(&by_text);
        destroy(&by_place);
    }
    return finish("hashtable");
}
