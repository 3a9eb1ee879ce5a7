/* Regular expressions, compiled to a program for threads that run side by side (Thompson). */
#include "program.h"

typedef enum { CHARACTER, ANY, CLASS, SPLIT, JUMP, MATCH } Op;

typedef struct {
    Op op;
    int x, y;
} Inst;

enum { INSTS = 256 };

typedef struct {
    Inst inst[INSTS];
    int length;
    const char *at;
} Regex;

typedef struct {
    int pc[INSTS], count;
    uint32_t seen[INSTS], turn;
} Threads;

static int emit(Regex *r, Op op, int x, int y) {
    if (r->length >= INSTS) fail("the expression is too long");
    r->inst[r->length] = (Inst){op, x, y};
    return r->length++;
}

static Inst *inst_at(Regex *r, int pc) { return &r->inst[pc]; }
static void patch(Regex *r, int pc, int x, int y) {
    inst_at(r, pc)->x = x;
    inst_at(r, pc)->y = y;
}
static char peek(const Regex *r) { return *r->at; }
static char next(Regex *r) { return *r->at++; }
static bool at_end_of_branch(const Regex *r) { return !peek(r) || peek(r) == ')' || peek(r) == '|'; }

static void insert(Regex *r, int at, Op op) {
    emit(r, MATCH, 0, 0);
    for (int i = r->length - 1; i > at; i--) {
        r->inst[i] = r->inst[i - 1];
        if (r->inst[i].op == SPLIT || r->inst[i].op == JUMP) {
            if (r->inst[i].x >= at) r->inst[i].x++;
            if (r->inst[i].y >= at) r->inst[i].y++;
        }
    }
    r->inst[at] = (Inst){op, 0, 0};
}

static void alternatives(Regex *r);

static void atom(Regex *r) {
    char c = next(r);
    if (c == '(') {
        alternatives(r);
        if (next(r) != ')') fail("a group does not end");
    } else if (c == '.') {
        emit(r, ANY, 0, 0);
    } else if (c == '\\') {
        emit(r, CLASS, next(r), 0);
    } else {
        emit(r, CHARACTER, c, 0);
    }
}

static void repeated(Regex *r) {
    int start = r->length;
    atom(r);
    char c = peek(r);
    if (c == '*') {
        insert(r, start, SPLIT);
        emit(r, JUMP, start, 0);
        patch(r, start, start + 1, r->length);
    } else if (c == '+') {
        int split = emit(r, SPLIT, 0, 0);
        patch(r, split, start, r->length);
    } else if (c == '?') {
        insert(r, start, SPLIT);
        patch(r, start, start + 1, r->length);
    } else {
        return;
    }
    next(r);
}

static void sequence(Regex *r) {
    while (!at_end_of_branch(r)) repeated(r);
}

static void alternatives(Regex *r) {
    int start = r->length;
    sequence(r);
    while (peek(r) == '|') {
        next(r);
        insert(r, start, SPLIT);
        int jump = emit(r, JUMP, 0, 0);
        patch(r, start, start + 1, r->length);
        sequence(r);
        patch(r, jump, r->length, 0);
    }
}

static void compile(Regex *r, const char *text) {
    r->length = 0;
    r->at = text;
    alternatives(r);
    emit(r, MATCH, 0, 0);
}

static bool is_new(Threads *threads, int pc) {
    if (threads->seen[pc] == threads->turn) return false;
    threads->seen[pc] = threads->turn;
    return true;
}

static void clear(Threads *threads) {
    threads->count = 0;
    threads->turn++;
}

static void add_thread(Regex *r, Threads *threads, int pc) {
    if (!is_new(threads, pc)) return;
    const Inst *inst = inst_at(r, pc);
    if (inst->op == JUMP) return add_thread(r, threads, inst->x);
    if (inst->op == SPLIT) {
        add_thread(r, threads, inst->x);
        return add_thread(r, threads, inst->y);
    }
    threads->pc[threads->count++] = pc;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_letter(int c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static bool in_class(int class, int c) {
    return class == 'd' ? is_digit(c) : class == 'w' ? is_digit(c) || is_letter(c) : c == class;
}

static bool accepts(const Inst *inst, int c) {
    switch (inst->op) {
    case CHARACTER: return inst->x == c;
    case ANY: return true;
    case CLASS: return in_class(inst->x, c);
    default: return false;
    }
}

/* The number of places at which a match ends. */
static int count_matches(Regex *r, const char *text, int length) {
    static Threads a, b;
    Threads *now = &a, *after = &b;
    int matches = 0;
    clear(now);
    for (int i = 0; i < length; i++) {
        add_thread(r, now, 0);
        clear(after);
        for (int t = 0; t < now->count; t++) {
            const Inst *inst = inst_at(r, now->pc[t]);
            if (accepts(inst, text[i])) add_thread(r, after, now->pc[t] + 1);
            else if (inst->op == MATCH) matches++;
        }
        Threads *old = now;
        now = after;
        after = old;
    }
    return matches;
}

static const char *const expressions[] = {
    "\\d+-\\d+", "(foo|bar)+baz?", "a.*z", "\\w+@\\w+\\.(com|org)", "(ab|a)(bc|c)*d",
};

static char text[60000];

static void make_text(void) {
    static const char *const words[] = {"foo", "bar", "baz", "12-34", "me@site.org", "abcd", "abbcd", " "};
    int length = 0;
    while (length < 59900) {
        const char *word = words[random_below(8)];
        while (*word) text[length++] = *word++;
    }
    text[length] = 0;
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 40);
    make_text();
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < 5; i++) {
            static Regex regex;
            compile(&regex, expressions[i]);
            sum_add((uint64_t)count_matches(&regex, text, (int)strlen(text) - round));
        }
    return finish("regex");
}
