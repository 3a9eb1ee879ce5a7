/* Large natural numbers in limbs of 32 bits: powers, division, and printing in decimal. */
#include "program.h"

enum { LIMBS = 256 };

typedef struct {
    uint32_t limb[LIMBS];
    int size;
} Big;

static uint32_t low(uint64_t x) { return (uint32_t)x; }
static uint32_t high(uint64_t x) { return (uint32_t)(x >> 32); }
static uint64_t wide(uint32_t h, uint32_t l) { return (uint64_t)h << 32 | l; }
static uint32_t limb_at(const Big *a, int i) { return i < a->size ? a->limb[i] : 0; }

static void set_limb(Big *a, int i, uint32_t value) {
    if (i >= LIMBS) fail("a number is too large");
    a->limb[i] = value;
}

static void trim(Big *a) {
    while (a->size > 0 && limb_at(a, a->size - 1) == 0) a->size--;
}

static bool is_zero(const Big *a) { return a->size == 0; }

static Big small(uint32_t value) {
    Big a = {.size = 1};
    set_limb(&a, 0, value);
    trim(&a);
    return a;
}

static uint32_t add_limb(uint32_t a, uint32_t b, uint32_t *carry) {
    uint64_t sum = (uint64_t)a + b + *carry;
    *carry = high(sum);
    return low(sum);
}

static uint32_t multiply_limb(uint32_t a, uint32_t b, uint32_t add, uint32_t *carry) {
    uint64_t product = (uint64_t)a * b + add + *carry;
    *carry = high(product);
    return low(product);
}

static int larger(int a, int b) { return a > b ? a : b; }

static void add(Big *result, const Big *a, const Big *b) {
    uint32_t carry = 0;
    int size = larger(a->size, b->size);
    for (int i = 0; i < size; i++) set_limb(result, i, add_limb(limb_at(a, i), limb_at(b, i), &carry));
    if (carry) set_limb(result, size++, carry);
    result->size = size;
}

static void multiply(Big *result, const Big *a, const Big *b) {
    Big product = {.size = a->size + b->size};
    if (product.size > LIMBS) fail("a number is too large");
    for (int i = 0; i < a->size; i++) {
        uint32_t carry = 0;
        for (int j = 0; j < b->size; j++)
            set_limb(&product, i + j,
                     multiply_limb(limb_at(a, i), limb_at(b, j), product.limb[i + j], &carry));
        set_limb(&product, i + b->size, carry);
    }
    trim(&product);
    *result = product;
}

static uint32_t divide_limb(uint32_t rest, uint32_t limb, uint32_t by, uint32_t *quotient) {
    uint64_t dividend = wide(rest, limb);
    *quotient = low(dividend / by);
    return low(dividend % by);
}

static uint32_t divide_small(Big *a, uint32_t by) {
    uint32_t rest = 0;
    for (int i = a->size - 1; i >= 0; i--) {
        uint32_t quotient;
        rest = divide_limb(rest, limb_at(a, i), by, &quotient);
        set_limb(a, i, quotient);
    }
    trim(a);
    return rest;
}

static void power(Big *result, uint32_t base, unsigned exponent) {
    Big square = small(base);
    *result = small(1);
    for (; exponent; exponent >>= 1) {
        if (exponent & 1) multiply(result, result, &square);
        if (exponent > 1) multiply(&square, &square, &square);
    }
}

static uint32_t digit_sum(uint32_t group) {
    uint32_t sum = 0;
    for (; group; group /= 10) sum += group % 10;
    return sum;
}

static uint32_t decimal_digit_sum(Big *a) {
    uint32_t sum = 0;
    while (!is_zero(a)) sum += digit_sum(divide_small(a, 1000000000));
    return sum;
}

static void fibonacci(Big *result, int n) {
    Big a = small(0), b = small(1);
    for (int i = 0; i < n; i++) {
        Big next;
        add(&next, &a, &b);
        a = b;
        b = next;
    }
    *result = a;
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 400);
    for (int round = 0; round < rounds; round++) {
        static Big a, b;
        power(&a, 3 + (uint32_t)((round + seed) % 7), 1000);
        fibonacci(&b, 900);
        multiply(&a, &a, &b);
        sum_add(decimal_digit_sum(&a));
        sum_add(decimal_digit_sum(&b));
    }
    return finish("bignum");
}
