/* A stack machine in the style of early scripting languages: a loop fetches an instruction and calls
 * its handler, and handlers work through accessors of the machine. */
#include "program.h"

enum { PUSH, ADD, SUB, MUL, MOD, LESS, LOAD, STORE, JUMP, JUMP_IF, CALL, RETURN, HALT };

typedef struct {
    uint8_t op;
    int32_t operand;
} Inst;

typedef struct {
    int64_t stack[256];
    int64_t locals[64];
    int frames[64];
    int height, depth, pc;
    const Inst *code;
    bool running;
} Machine;

static void push(Machine *m, int64_t value) {
    if (m->height >= 256) fail("the stack is full");
    m->stack[m->height++] = value;
}

static int64_t pop(Machine *m) {
    if (m->height <= 0) fail("the stack is empty");
    return m->stack[--m->height];
}

static int64_t local(const Machine *m, int index) { return m->locals[index & 63]; }
static void set_local(Machine *m, int index, int64_t value) { m->locals[index & 63] = value; }
static Inst fetch(Machine *m) { return m->code[m->pc++]; }
static void jump(Machine *m, int target) { m->pc = target; }

static int64_t add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static int64_t sub(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static int64_t mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }
static int64_t mod(int64_t a, int64_t b) { return b ? (int64_t)((uint64_t)a % (uint64_t)b) : 0; }
static int64_t less(int64_t a, int64_t b) { return a < b; }

static void binary(Machine *m, int op) {
    int64_t b = pop(m), a = pop(m);
    switch (op) {
    case ADD: push(m, add(a, b)); break;
    case SUB: push(m, sub(a, b)); break;
    case MUL: push(m, mul(a, b)); break;
    case MOD: push(m, mod(a, b)); break;
    default: push(m, less(a, b)); break;
    }
}

static void enter(Machine *m, int target) {
    if (m->depth >= 64) fail("too many calls");
    m->frames[m->depth++] = m->pc;
    jump(m, target);
}

static void leave(Machine *m) { jump(m, m->frames[--m->depth]); }

static void step(Machine *m) {
    Inst inst = fetch(m);
    switch (inst.op) {
    case PUSH: push(m, inst.operand); break;
    case LOAD: push(m, local(m, inst.operand)); break;
    case STORE: set_local(m, inst.operand, pop(m)); break;
    case JUMP: jump(m, inst.operand); break;
    case JUMP_IF:
        if (pop(m)) jump(m, inst.operand);
        break;
    case CALL: enter(m, inst.operand); break;
    case RETURN: leave(m); break;
    case HALT: m->running = false; break;
    default: binary(m, inst.op); break;
    }
}

static void run(Machine *m, const Inst *code) {
    m->code = code;
    m->pc = m->height = m->depth = 0;
    m->running = true;
    while (m->running) step(m);
}

/* total = 0; for (i = 0; i < n; i++) total = mix(total, i); */
static const Inst program[] = {
    {PUSH, 0},     {STORE, 1},  {PUSH, 0},    {STORE, 0}, {LOAD, 0},  {LOAD, 2},   {LESS, 0},
    {JUMP_IF, 10}, {LOAD, 1},   {HALT, 0},    {CALL, 16}, {LOAD, 0},  {PUSH, 1},   {ADD, 0},
    {STORE, 0},    {JUMP, 4},   {LOAD, 1},    {PUSH, 31}, {MUL, 0},   {LOAD, 0},   {LOAD, 0},
    {MUL, 0},      {ADD, 0},    {PUSH, 1000003}, {MOD, 0}, {LOAD, 0}, {SUB, 0},    {STORE, 1},
    {RETURN, 0},
};

int main(int argc, char **argv) {
    static Machine machine;
    int rounds = rounds_from(argc, argv, 24);
    for (int round = 0; round < rounds; round++) {
        set_local(&machine, 2, 100000 + round + 100 * seed);
        run(&machine, program);
        sum_add((uint64_t)pop(&machine));
    }
    return finish("interpreter");
}
