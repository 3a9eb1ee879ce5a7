/* The function of the host that programs call. Its first calls in a run stop the debugger, then one
   in each doubling of their number. */
#include <stdint.h>

volatile uint64_t current_run;
static volatile uint64_t calls;

/* The addresses of the program, which the linker knows, and of memory behind it. */
extern char __executable_start[], _end[];
const char *const image[] = {__executable_start, _end + MEMORY_BEHIND};

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
