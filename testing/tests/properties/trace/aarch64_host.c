/* The host of traced programs on aarch64: writes what it sees to its standard output, as 64-bit
 * words and copies of the stack, for aarch64.rs to read. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct handler {
    uint64_t return_offset, landing_offset, frame_offset;
    int64_t tag; /* negative for one that takes every exception */
};

struct build {
    int64_t (*main)(int64_t);
    uint64_t main_offset;
    const struct handler *handlers;
    uint64_t handler_count;
};

extern const struct build builds[];
extern const uint64_t build_count;
extern const int64_t arguments[];
extern const uint64_t argument_count;

static uint64_t stack_top, text;
static const struct build *current;

static void word(uint64_t value) { fwrite(&value, 8, 1, stdout); }

__attribute__((used)) static void record(int64_t first, int64_t second, uint64_t pc, uint64_t fp,
                                         uint64_t sp) {
    word(1);
    word(first);
    word(second);
    word(pc);
    word(fp);
    word(sp);
    word(stack_top - sp);
    fwrite((const void *)sp, 1, stack_top - sp, stdout);
}

__attribute__((used)) static void unwind(int64_t tag, int64_t payload, uint64_t pc, uint64_t fp,
                                         uint64_t sp) {
    record(tag, payload, pc, fp, sp);
    while (fp < stack_top) {
        for (uint64_t i = 0; i < current->handler_count; i++) {
            const struct handler *handler = &current->handlers[i];
            if (text + handler->return_offset == pc && (handler->tag < 0 || handler->tag == tag)) {
                register uint64_t sp __asm__("x10") = fp - handler->frame_offset;
                register uint64_t frame __asm__("x11") = fp;
                register uint64_t landing __asm__("x12") = text + handler->landing_offset;
                register int64_t value __asm__("x0") = payload;
                __asm__ volatile("mov sp, x10\n\tmov x29, x11\n\tbr x12"
                                 :
                                 : "r"(sp), "r"(frame), "r"(landing), "r"(value)
                                 : "memory");
                __builtin_unreachable();
            }
        }
        const uint64_t *words = (const uint64_t *)fp;
        fp = words[0];
        pc = words[1];
    }
    fprintf(stderr, "no handler takes the exception %ld\n", (long)tag);
    exit(1);
}

/* %throw has the tail convention, in which arguments begin in x2. */
__asm__(".globl probe\n"
        "probe:\n\tmov x2, x30\n\tmov x3, x29\n\tmov x4, sp\n\tb record\n"
        ".globl throw\n"
        "throw:\n\tmov x0, x2\n\tmov x1, x3\n"
        "\tmov x2, x30\n\tmov x3, x29\n\tmov x4, sp\n\tb unwind\n");

int main(void) {
    uint64_t marker = 0;
    stack_top = (uint64_t)&marker & ~(uint64_t)15;
    for (uint64_t i = 0; i < build_count; i++) {
        current = &builds[i];
        text = (uint64_t)current->main - current->main_offset;
        for (uint64_t j = 0; j < argument_count; j++) {
            uint64_t result = (uint64_t)current->main(arguments[j]);
            word(0);
            word(text);
            word(result);
        }
    }
    return 0;
}
