// A ledger in the style of Rust: options and results instead of exceptions, slices that know their
// length, iterators with adapters and closures, and a tagged union that is matched.
#include "program.h"

template <class T> class Option {
    bool some;
    T value;

public:
    Option() : some(false), value() {}
    Option(T value) : some(true), value(value) {}
    bool is_some() const { return some; }
    T unwrap() const {
        if (!some) fail("none");
        return value;
    }
    T unwrap_or(T other) const { return some ? value : other; }
    template <class F> auto map(F f) const -> Option<decltype(f(value))> {
        if (some) return f(value);
        return {};
    }
    template <class F> auto and_then(F f) const -> decltype(f(value)) {
        if (some) return f(value);
        return {};
    }
};

enum class Error : uint8_t { None, NoAccount, TooLittle, Frozen };

template <class T> class Result {
    Error error;
    T value;

public:
    Result(T value) : error(Error::None), value(value) {}
    Result(Error error) : error(error), value() {}
    bool is_ok() const { return error == Error::None; }
    Error reason() const { return error; }
    T get() const { return value; }
    template <class F> auto and_then(F f) const -> decltype(f(value)) {
        if (is_ok()) return f(value);
        return error;
    }
};

template <class Item, class Source, class F> struct Map;
template <class Item, class Source, class F> struct Filter;

// The adapters that each iterator has.
template <class Self, class T> struct Iterator {
    using Item = T;
    Self &self() { return static_cast<Self &>(*this); }
    template <class F> auto map(F f) { return Map<decltype(f(T())), Self, F>(self(), f); }
    template <class F> auto filter(F f) { return Filter<T, Self, F>(self(), f); }
    template <class A, class F> A fold(A all, F f) {
        for (Option<T> item = self().next(); item.is_some(); item = self().next()) {
            all = f(all, item.unwrap());
        }
        return all;
    }
    template <class F> Option<T> find(F f) {
        for (Option<T> item = self().next(); item.is_some(); item = self().next()) {
            if (f(item.unwrap())) return item;
        }
        return {};
    }
};

template <class Item, class Source, class F>
struct Map : Iterator<Map<Item, Source, F>, Item> {
    Source source;
    F f;
    Map(Source source, F f) : source(source), f(f) {}
    Option<Item> next() { return source.next().map(f); }
};

template <class Item, class Source, class F>
struct Filter : Iterator<Filter<Item, Source, F>, Item> {
    Source source;
    F f;
    Filter(Source source, F f) : source(source), f(f) {}
    Option<Item> next() { return source.find(f); }
};

template <class T> struct SliceIterator : Iterator<SliceIterator<T>, T *> {
    T *at, *end;
    SliceIterator(T *at, T *end) : at(at), end(end) {}
    Option<T *> next() {
        if (at == end) return {};
        return at++;
    }
};

template <class T> class Slice {
    T *items;
    size_t count;

public:
    Slice(T *items, size_t count) : items(items), count(count) {}
    size_t length() const { return count; }
    Option<T *> get(size_t index) const {
        if (index >= count) return {};
        return items + index;
    }
    SliceIterator<T> iterate() const { return {items, items + count}; }
};

struct Account {
    uint32_t id;
    int64_t balance;
    bool frozen;
};

struct Pay {
    uint32_t account;
    int64_t amount;
};

struct Move {
    uint32_t from, to;
    int64_t amount;
};

struct Freeze {
    uint32_t account;
};

// One of three events.
class Event {
    enum class Tag : uint8_t { Pay, Move, Freeze } tag;
    union {
        Pay pay;
        Move move;
        Freeze freeze;
    };

public:
    Event(Pay pay) : tag(Tag::Pay), pay(pay) {}
    Event(Move move) : tag(Tag::Move), move(move) {}
    Event(Freeze freeze) : tag(Tag::Freeze), freeze(freeze) {}
    template <class P, class M, class F> auto match(P on_pay, M on_move, F on_freeze) const {
        switch (tag) {
        case Tag::Pay: return on_pay(pay);
        case Tag::Move: return on_move(move);
        default: return on_freeze(freeze);
        }
    }
};

static Result<Account *> open(Slice<Account> accounts, uint32_t id) {
    Option<Account *> account = accounts.get(id);
    if (!account.is_some()) return Error::NoAccount;
    if (account.unwrap()->frozen) return Error::Frozen;
    return account.unwrap();
}

static Result<int64_t> change(Account *account, int64_t amount) {
    if (account->balance + amount < 0) return Error::TooLittle;
    account->balance += amount;
    return account->balance;
}

static Result<int64_t> apply(Slice<Account> accounts, const Event &event) {
    return event.match(
        [&](const Pay &pay) {
            return open(accounts, pay.account).and_then([&](Account *account) {
                return change(account, pay.amount);
            });
        },
        [&](const Move &move) {
            return open(accounts, move.from).and_then([&](Account *from) {
                return open(accounts, move.to).and_then([&](Account *to) {
                    return change(from, -move.amount).and_then([&](int64_t) {
                        return change(to, move.amount);
                    });
                });
            });
        },
        [&](const Freeze &freeze) {
            return open(accounts, freeze.account).and_then([&](Account *account) -> Result<int64_t> {
                account->frozen = true;
                return account->balance;
            });
        });
}

static Event random_event(uint32_t accounts) {
    uint32_t one = random_below(accounts + 3), other = random_below(accounts);
    int64_t amount = int64_t(random_below(2000)) - 500;
    uint32_t kind = random_below(64);
    if (kind == 0) return Freeze{one};
    if (kind < 25) return Pay{one, amount};
    return Move{one, other, amount < 0 ? -amount : amount};
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 300);
    static Account memory[500];
    Slice<Account> accounts(memory, sizeof memory / sizeof *memory);
    for (int round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < accounts.length(); i++) memory[i] = Account{i, 1000, false};
        uint32_t refused[4] = {};
        int64_t last = 0;
        for (int i = 0; i < 10000; i++) {
            Result<int64_t> result = apply(accounts, random_event(accounts.length()));
            refused[size_t(result.reason())]++;
            if (result.is_ok()) last = result.get();
        }
        auto is_open = [](Account *account) { return !account->frozen; };
        auto balance = [](Account *account) { return account->balance; };
        auto add = [](int64_t a, int64_t b) { return a + b; };
        for (int64_t limit = 0; limit < 4000; limit += 100) {
            auto is_rich = [=](int64_t amount) { return amount > limit; };
            sum_add(accounts.iterate().filter(is_open).map(balance).filter(is_rich).fold(0LL, add));
            auto is_above = [=](Account *account) { return account->balance > limit * 2; };
            auto id = [](Account *account) { return account->id; };
            sum_add(accounts.iterate().find(is_above).map(id).unwrap_or(~0u));
        }
        for (uint32_t count : refused) sum_add(count);
        sum_add(uint64_t(last));
    }
    return finish("ledger");
}
