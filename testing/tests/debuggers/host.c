/* Runs the entries of a generated table. Traps stop the debugger, and then the next entry runs. */
#include <setjmp.h>
#include <signal.h>
#include <string.h>

/* A value has 16 bytes, the size of the largest. */
struct run {
    void (*entry)(uint64_t *values);
    const uint64_t *arguments;
    uint64_t values;
};

enum { MOST_VALUES = 512 };

extern const struct run runs[];
extern const uint64_t run_count;

static sigjmp_buf recover;

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
