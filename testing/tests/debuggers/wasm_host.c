/* Runs compiled WebAssembly programs with their runtime, one after the other. */

struct run {
    const uint8_t *bytes;
    uint64_t size;
    const void *const *functions;
    const void *const *entries;
};

extern const struct run runs[];
extern const uint64_t run_count;

int cranelift_inliner_wasm_main(const uint8_t *image, uint64_t size, const void *const *functions,
                                const void *const *entries);

int main(void) {
    for (current_run = 0; current_run < run_count; current_run++) {
        const struct run *run = &runs[current_run];
        calls = 0;
        int status = cranelift_inliner_wasm_main(run->bytes, run->size, run->functions, run->entries);
        if (status)
            return status;
    }
    return 0;
}
