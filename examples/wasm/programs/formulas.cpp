// Formulas as trees of objects with virtual methods: they are made by operators, evaluated,
// differentiated, simplified, and visited with lambdas. Nodes live in an arena behind a class
// template, numbers are a class with operators.
#include "program.h"

// A number modulo a prime, so that results are exact.
class Number {
    uint32_t value;

public:
    static constexpr uint32_t prime = 1000003;
    constexpr Number(uint32_t value = 0) : value(value % prime) {}
    uint32_t get() const { return value; }
    Number operator+(Number other) const { return Number(value + other.value); }
    Number operator-(Number other) const { return Number(value + prime - other.value); }
    Number operator*(Number other) const {
        return Number(uint32_t(uint64_t(value) * other.value % prime));
    }
    bool operator==(Number other) const { return value == other.value; }
};

// Things of one size, all freed at once.
template <size_t Bytes, size_t Count> class Arena {
    alignas(8) unsigned char memory[Bytes * Count];
    size_t used = 0;

public:
    void *take(size_t bytes) {
        if (bytes > Bytes || used == Count) fail("no memory");
        return memory + Bytes * used++;
    }
    void clear() { used = 0; }
    size_t length() const { return used; }
};

static Arena<32, 1 << 16> arena;

struct Scope {
    Number variables[4];
    Number operator[](size_t index) const { return variables[index & 3]; }
};

class Node;
using Formula = const Node *;

class Node {
public:
    void *operator new(size_t bytes) { return arena.take(bytes); }
    virtual Number evaluate(const Scope &scope) const = 0;
    virtual Formula derive(size_t variable) const = 0;
    virtual Formula simplify() const = 0;
    virtual bool is(Number) const { return false; }
    virtual unsigned operands() const { return 0; }
    virtual Formula operand(unsigned) const { return nullptr; }
    virtual unsigned kind() const = 0;
};

extern "C" void __cxa_pure_virtual() { fail("a pure virtual call"); }
void operator delete(void *) noexcept {}

class Constant final : public Node {
    Number number;

public:
    explicit Constant(Number number) : number(number) {}
    Number evaluate(const Scope &) const override { return number; }
    Formula derive(size_t) const override { return new Constant(0); }
    Formula simplify() const override { return this; }
    bool is(Number other) const override { return number == other; }
    unsigned kind() const override { return 1; }
};

class Variable final : public Node {
    size_t index;

public:
    explicit Variable(size_t index) : index(index) {}
    Number evaluate(const Scope &scope) const override { return scope[index]; }
    Formula derive(size_t variable) const override {
        return new Constant(index == variable ? 1 : 0);
    }
    Formula simplify() const override { return this; }
    unsigned kind() const override { return 2; }
};

// The common part of two operands; `Self` has the rest.
template <class Self> class Binary : public Node {
protected:
    Formula left, right;

public:
    Binary(Formula left, Formula right) : left(left), right(right) {}
    Number evaluate(const Scope &scope) const final {
        return Self::apply(left->evaluate(scope), right->evaluate(scope));
    }
    Formula simplify() const final { return Self::make(left->simplify(), right->simplify()); }
    unsigned operands() const final { return 2; }
    Formula operand(unsigned index) const final { return index ? right : left; }
};

class Sum final : public Binary<Sum> {
public:
    using Binary::Binary;
    static Number apply(Number a, Number b) { return a + b; }
    static Formula make(Formula a, Formula b) {
        if (a->is(0)) return b;
        if (b->is(0)) return a;
        return new Sum(a, b);
    }
    Formula derive(size_t variable) const override {
        return make(left->derive(variable), right->derive(variable));
    }
    unsigned kind() const override { return 3; }
};

class Product final : public Binary<Product> {
public:
    using Binary::Binary;
    static Number apply(Number a, Number b) { return a * b; }
    static Formula make(Formula a, Formula b) {
        if (a->is(0) || b->is(1)) return a;
        if (b->is(0) || a->is(1)) return b;
        return new Product(a, b);
    }
    Formula derive(size_t variable) const override {
        Formula one = make(left->derive(variable), right);
        return Sum::make(one, make(left, right->derive(variable)));
    }
    unsigned kind() const override { return 4; }
};

// Operators for formulas, which are pointers, need a class around them.
struct Term {
    Formula formula;
    Term operator+(Term other) const { return {Sum::make(formula, other.formula)}; }
    Term operator*(Term other) const { return {Product::make(formula, other.formula)}; }
};

static Term number(uint32_t value) { return {new Constant(value)}; }
static Term variable(size_t index) { return {new Variable(index)}; }

// Calls `visit` for each node, operands first.
template <class Visit> static void each(Formula formula, Visit &&visit) {
    for (unsigned i = 0; i < formula->operands(); i++) each(formula->operand(i), visit);
    visit(*formula);
}

static Term random_term(unsigned depth) {
    if (depth == 0 || random_below(8) == 0) {
        return random_below(3) ? variable(random_below(4)) : number(random_below(3));
    }
    Term left = random_term(depth - 1), right = random_term(depth - 1);
    return random_below(2) ? left + right : left * right;
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 1200);
    for (int round = 0; round < rounds; round++) {
        arena.clear();
        Term term = random_term(9) * variable(0) + random_term(7);
        Formula derived = term.formula->derive(round & 3)->simplify();
        Scope scope{};
        Number total;
        for (uint32_t point = 0; point < 60; point++) {
            for (uint32_t i = 0; i < 4; i++) scope.variables[i] = Number(point * 7 + i * 13 + 1);
            total = total * 31 + derived->evaluate(scope) - term.formula->evaluate(scope);
        }
        unsigned nodes = 0, kinds = 0;
        each(derived, [&](const Node &node) {
            nodes++;
            kinds = kinds * 5 + node.kind();
        });
        sum_add(total.get());
        sum_add(nodes);
        sum_add(kinds);
        sum_add(arena.length());
    }
    return finish("formulas");
}
