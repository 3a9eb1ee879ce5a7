/* Runs the entries of a generated table. The first calls of the host's functions stop the debugger,
   then one in each doubling of their number. So do traps, after which the next entry runs. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

/* A value has 16 bytes, the size of the largest. */
struct run {
    void (*entry)(uint64_t *values);
    const uint64_t *arguments;
    uint64_t values;
};

enum { MOST_VALUES = 512 };

volatile uint64_t current_run;
static volatile uint64_t calls;
static sigjmp_buf recover;

extern const struct run runs[];
extern const uint64_t run_count;

/* The addresses of the program, which the linker knows. */
extern char __executable_start[], _end[];
const char *const image[] = {__executable_start, _end};

__attribute__((noinline)) void stop(void) {
#if defined(__x86_64__)
    __asm__ volatile("int3");
#else
    __asm__ volatile("nop");
#endif
}

static uint64_t mix(uint64_t state) {
    uint64_t z = state + 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Half of the results are small, and none is NaN as a float of any size. */
void probe(uint64_t host, uint64_t *results, uint64_t count) {
    calls += 1;
    if (calls <= STOPPING_FIRST || (calls & (calls - 1)) == 0)
        stop();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bits = mix(mix(calls) ^ (host << 8) ^ i);
        results[2 * i] = bits % 2 ? bits >> 8 & 7 : bits & 0xbfffbfffbfffbfff;
        results[2 * i + 1] = bits % 2 ? 0 : mix(bits) & 0xbfffbfffbfffbfff;
    }
}

static void trapped(int signal) { siglongjmp(recover, signal); }

int main(void) {
    static uint64_t values[2 * MOST_VALUES];
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = trapped;
    action.sa_flags = SA_NODEFER;
    sigaction(SIGILL, &action, 0);
    sigaction(SIGFPE, &action, 0);
    sigaction(SIGSEGV, &action, 0);
    sigaction(SIGBUS, &action, 0);
    sigaction(SIGTRAP, &action, 0);
    for (current_run = 0; current_run < run_count; current_run++) {
        const struct run *run = &runs[current_run];
        calls = 0;
        memset(values, 0, sizeof values);
        memcpy(values, run->arguments, run->values * 16);
        if (!sigsetjmp(recover, 1))
            run->entry(values);
    }
    return 0;
}
