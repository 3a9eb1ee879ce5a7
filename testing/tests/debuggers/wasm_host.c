/* Runs compiled WebAssembly programs with their runtime, one after the other. */

struct run {
    const uint8_t *bytes;
    uint64_t size;
    const void *const *functions;
    const void *const *entries;
};

/* No run traps, so the runtime needs no content of the table of backtraces. */
extern const uint8_t backtraces[];
extern const uint64_t backtraces_size;

extern const struct run runs[];
extern const uint64_t run_count;

int cranelift_inliner_wasm_main(const uint8_t *image, uint64_t size, const void *const *functions,
                                const void *const *entries, const uint8_t *backtraces,
                                const uint64_t *backtraces_size);

int main(void) {
    for (current_run = 0; current_run < run_count; current_run++) {
        const struct run *run = &runs[current_run];
        calls = 0;
        int status = cranelift_inliner_wasm_main(run->bytes, run->size, run->functions, run->entries,
                                                 backtraces, &backtraces_size);
        if (status)
            return status;
    }
    return 0;
}
