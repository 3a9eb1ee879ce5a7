/* Calls compiled functions as the process at the other end of the pipes asks, and asks it for the
   results of the host's functions. mod.rs describes the messages. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum { CALLED = 1, RETURNED = 2, STOPPED = 3 };
enum { RETURN = 1, WALK = 2, LAND = 3, END = 4 };
enum { SLOT_BYTES = 16, MOST_SLOTS = 4096, SECONDS = 60 };
/* At a frame pointer is the caller's, and so many words above it the return address. */
#ifdef __s390x__
enum { RETURN_ADDRESS = 14 };
#else
enum { RETURN_ADDRESS = 1 };
#endif

/* The number of slots of each function of the host. */
extern const uint64_t slot_counts[];

static sigjmp_buf outside;
/* The outer end of the stack of a call. */
static uintptr_t base;
static volatile uint64_t stopped_at;

static void receive(void *to, size_t size) {
    char *at = to;
    while (size) {
        ssize_t count = read(0, at, size);
        if (count <= 0)
            _exit(0);
        at += count;
        size -= count;
    }
}

static void say(const void *from, size_t size) {
    const char *at = from;
    while (size) {
        ssize_t count = write(1, at, size);
        if (count <= 0)
            _exit(1);
        at += count;
        size -= count;
    }
}

static uint64_t word(void) {
    uint64_t word;
    receive(&word, sizeof word);
    return word;
}

static void stopped(int signal, siginfo_t *info, void *context) {
    const mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    (void)info;
#if defined(__aarch64__)
    stopped_at = machine->pc;
#elif defined(__riscv)
    stopped_at = machine->__gregs[REG_PC];
#elif defined(__s390x__)
    /* The address of an illegal instruction is the one behind it. */
    stopped_at = machine->psw.addr - (signal == SIGILL || signal == SIGFPE);
#else
#error "an unknown architecture"
#endif
    siglongjmp(outside, signal);
}

/* Continues in a handler. */
static void land(uint64_t to, uint64_t stack, uint64_t frame, uint64_t data) {
#if defined(__aarch64__)
    register uint64_t address asm("x9") = to;
    register uint64_t sp asm("x10") = stack;
    register uint64_t fp asm("x11") = frame;
    register uint64_t payload asm("x0") = data;
    asm volatile("mov x1, #0\n mov sp, %1\n mov x29, %2\n br %0"
                 :
                 : "r"(address), "r"(sp), "r"(fp), "r"(payload)
                 : "x1", "memory");
#elif defined(__riscv)
    register uint64_t address asm("t0") = to;
    register uint64_t sp asm("t1") = stack;
    register uint64_t fp asm("t2") = frame;
    register uint64_t payload asm("a0") = data;
    asm volatile("li a1, 0\n mv sp, %1\n mv s0, %2\n jr %0"
                 :
                 : "r"(address), "r"(sp), "r"(fp), "r"(payload)
                 : "a1", "memory");
#else
    register uint64_t address asm("r1") = to;
    register uint64_t sp asm("r2") = stack;
    register uint64_t payload asm("r6") = data;
    (void)frame;
    asm volatile("lghi %%r7, 0\n lgr %%r15, %1\n br %0"
                 :
                 : "r"(address), "r"(sp), "r"(payload)
                 : "r7", "memory");
#endif
    __builtin_unreachable();
}

/* Says the frame pointers and return addresses outward from a shim's frame. */
static void walk(const uint64_t *frame) {
    uint64_t pairs[2];
    do {
        pairs[0] = frame[0];
        pairs[1] = frame[RETURN_ADDRESS];
        say(pairs, sizeof pairs);
        frame = (const uint64_t *)pairs[0];
    } while ((uintptr_t)frame < base && frame);
    memset(pairs, 0, sizeof pairs);
    say(pairs, sizeof pairs);
}

/* Called by shims. */
void recorder(uint64_t number, char *slots, const uint64_t *frame) {
    static char message[2 * sizeof(uint64_t) + MOST_SLOTS * SLOT_BYTES];
    size_t size = slot_counts[number] * SLOT_BYTES;
    uint64_t head[2] = {CALLED, number};
    memcpy(message, head, sizeof head);
    memcpy(message + sizeof head, slots, size);
    say(message, sizeof head + size);
    for (;;) {
        switch (word()) {
        case RETURN:
            receive(slots, size);
            return;
        case WALK:
            walk(frame);
            break;
        case LAND: {
            uint64_t goal[4];
            receive(goal, sizeof goal);
            land(goal[0], goal[1], goal[2], goal[3]);
        }
        default:
            siglongjmp(outside, -1);
        }
    }
}

static void serve(void) {
    static char message[sizeof(uint64_t) + MOST_SLOTS * SLOT_BYTES];
    static const uint64_t kind = RETURNED;
    static size_t size;
    char *slots = message + sizeof(uint64_t);
    uint64_t call[3];
    receive(call, sizeof call);
    size = call[2] * SLOT_BYTES;
    receive(slots, size);
    base = (uintptr_t)__builtin_frame_address(0);
    alarm(SECONDS);
    int signal = sigsetjmp(outside, 1);
    if (!signal)
        ((void (*)(uint64_t, char *))call[0])(call[1], slots);
    alarm(0);
    if (!signal) {
        memcpy(message, &kind, sizeof kind);
        say(message, sizeof kind + size);
    } else if (signal > 0) {
        uint64_t stop[3] = {STOPPED, stopped_at, signal};
        say(stop, sizeof stop);
    }
}

int main(void) {
    static const int signals[] = {SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP};
    static char stack[1 << 16];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action;
    sigaltstack(&other, 0);
    memset(&action, 0, sizeof action);
    action.sa_sigaction = stopped;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (size_t index = 0; index < sizeof signals / sizeof *signals; index++)
        sigaction(signals[index], &action, 0);
    for (;;)
        serve();
}
