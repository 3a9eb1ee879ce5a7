/* Calls %total of price.clif. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern int64_t total(int64_t pieces, int64_t each);

void report(int64_t number) { printf("%lld\n", (long long)number); }

int main(int argc, char **argv) {
    setbuf(stdout, 0);
    int64_t each = argc > 1 ? atoll(argv[1]) : 250;
    printf("%lld\n", (long long)total(3, each));
    return 0;
}
