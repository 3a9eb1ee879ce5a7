/* Matrices of complex numbers by operators that are functions: products, powers, elimination. */
#include "program.h"

typedef struct {
    double re, im;
} Complex;

enum { N = 40 };

typedef struct {
    Complex at[N][N];
} Matrix;

static Complex complex(double re, double im) { return (Complex){re, im}; }
static Complex plus(Complex a, Complex b) { return complex(a.re + b.re, a.im + b.im); }
static Complex minus(Complex a, Complex b) { return complex(a.re - b.re, a.im - b.im); }
static Complex times(Complex a, Complex b) {
    return complex(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
}
static Complex scaled(Complex a, double s) { return complex(a.re * s, a.im * s); }
static Complex conjugate(Complex a) { return complex(a.re, -a.im); }
static double norm(Complex a) { return a.re * a.re + a.im * a.im; }
static Complex over(Complex a, Complex b) { return scaled(times(a, conjugate(b)), 1 / norm(b)); }

static Complex get(const Matrix *m, int i, int j) { return m->at[i][j]; }
static void set(Matrix *m, int i, int j, Complex value) { m->at[i][j] = value; }
static void add_to(Complex *sum, Complex value) { *sum = plus(*sum, value); }

static Complex row_by_column(const Matrix *a, const Matrix *b, int i, int j) {
    Complex sum = complex(0, 0);
    for (int k = 0; k < N; k++) add_to(&sum, times(get(a, i, k), get(b, k, j)));
    return sum;
}

static void multiply(Matrix *result, const Matrix *a, const Matrix *b) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) set(result, i, j, row_by_column(a, b, i, j));
}

static void subtract_row(Matrix *m, int from, int row, Complex factor) {
    for (int j = 0; j < N; j++) set(m, from, j, minus(get(m, from, j), times(factor, get(m, row, j))));
}

static int pivot_row(const Matrix *m, int column) {
    int best = column;
    for (int i = column + 1; i < N; i++)
        if (norm(get(m, i, column)) > norm(get(m, best, column))) best = i;
    return best;
}

static void swap_rows(Matrix *m, int a, int b) {
    for (int j = 0; j < N; j++) {
        Complex value = get(m, a, j);
        set(m, a, j, get(m, b, j));
        set(m, b, j, value);
    }
}

static Complex determinant(Matrix m) {
    Complex result = complex(1, 0);
    for (int column = 0; column < N; column++) {
        int row = pivot_row(&m, column);
        if (row != column) {
            swap_rows(&m, row, column);
            result = scaled(result, -1);
        }
        Complex pivot = get(&m, column, column);
        result = times(result, pivot);
        for (int i = column + 1; i < N; i++) subtract_row(&m, i, column, over(get(&m, i, column), pivot));
    }
    return result;
}

static double random_number(void) { return (double)random_below(2001) / 1000 - 1; }

static void fill(Matrix *m) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) set(m, i, j, scaled(complex(random_number(), random_number()), 0.2));
}

static void sum_complex(Complex value) {
    sum_add((uint64_t)(int64_t)(value.re * 1e6));
    sum_add((uint64_t)(int64_t)(value.im * 1e6));
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 200);
    static Matrix a, b, c;
    for (int round = 0; round < rounds; round++) {
        fill(&a);
        fill(&b);
        multiply(&c, &a, &b);
        multiply(&b, &c, &a);
        multiply(&c, &b, &a);
        sum_complex(get(&c, round % N, 3));
        sum_complex(determinant(a));
        sum_complex(row_by_column(&b, &c, 1, 2));
    }
    return finish("matrix");
}
