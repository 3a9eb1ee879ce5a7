//! The programs, each written twice in the language of the examples.
//!
//! `written` is the program in its natural style: small functions, records, options, iterators and
//! closures. `by_hand` computes the same with plain loops and values.

pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    /// The argument of both functions. It makes them run for some tens of milliseconds.
    pub(crate) argument: i64,
}

/// An iterator over integers, which several programs use.
const RANGE: &str = "
record range { at, end };
fn range_next(r: range): option =
    if r.at < r.end then let at = r.at in set r.at = at + 1 in some at else none;
";

impl Program {
    pub(crate) fn source(&self) -> String {
        match self.text.contains("range {") {
            true => format!("{RANGE}{}", self.text),
            false => self.text.to_owned(),
        }
    }
}

pub(crate) const PROGRAMS: &[Program] = &[
    Program {
        name: "iterator",
        text: "
fn sum_of(r: range, f: closure) = fold total = 0 over x in r of total + f(x);
export fn written(n) = sum_of(range { at: 0, end: n }, |x| x * 3 % 7);
export fn by_hand(n) = loop i = 0, t = 0 while i < n next i + 1, t + i * 3 % 7 in t;
",
        argument: 4_000_000,
    },
    Program {
        name: "map",
        text: "
fn compose(f: closure, g: closure, x) = f(g(x));
fn map(f: closure, x) = f(x);
export fn written(n) = sum i from 0 to n of map(|x| compose(|y| y * 5, |y| y + n, x), i) % 1009;
export fn by_hand(n) = loop i = 0, t = 0 while i < n next i + 1, t + (i + n) * 5 % 1009 in t;
",
        argument: 4_000_000,
    },
    Program {
        name: "option",
        text: "
fn half(x): option = if x % 2 > 0 then none else some x / 2;
fn third(x): option = if x % 3 > 0 then none else some x / 3;
fn sixth(x): option = match half(x) some h then third(h) else none;
fn or_else(o: option, other) = match o some x then x else other;
export fn written(n) = sum i from 0 to n of or_else(sixth(i), 1);
export fn by_hand(n) = loop i = 0, t = 0 while i < n
    next i + 1, t + (if i % 2 > 0 then 1 else if i / 2 % 3 > 0 then 1 else i / 2 / 3) in t;
",
        argument: 3_000_000,
    },
    Program {
        name: "record",
        text: "
record point { x, y, z };
fn add(a: point, b: point): point = point { x: a.x + b.x, y: a.y + b.y, z: a.z + b.z };
fn scale(a: point, by): point = point { x: a.x * by, y: a.y * by, z: a.z * by };
fn dot(a: point, b: point) = a.x * b.x + a.y * b.y + a.z * b.z;
fn at(i): point = point { x: i, y: i + 1, z: 2 };
export fn written(n) = sum i from 0 to n of dot(add(at(i), scale(at(1), 3)), at(n));
export fn by_hand(n) = loop i = 0, t = 0 while i < n
    next i + 1, t + (i + 3) * n + (i + 1 + 6) * (n + 1) + (2 + 6) * 2 in t;
",
        argument: 10_000_000,
    },
    Program {
        name: "complex",
        text: "
record complex { re, im };
fn plus(a: complex, b: complex): complex = complex { re: a.re + b.re, im: a.im + b.im };
fn times(a: complex, b: complex): complex =
    complex { re: (a.re * b.re - a.im * b.im) / 1024, im: (a.re * b.im + a.im * b.re) / 1024 };
fn norm(a: complex) = (a.re * a.re + a.im * a.im) / 1024;
fn assign(to: complex, from: complex) = set to.re = from.re in set to.im = from.im in 0;
fn escapes(c: complex, limit) = let z = complex { re: 0, im: 0 } in
    loop i = 0 while (if norm(z) < 4096 then i < limit else 0)
    next i + 1 + assign(z, plus(times(z, z), c)) in i;
export fn written(n) = sum i from 0 to n of escapes(complex { re: i % 1024 - 700, im: i % 511 }, 50);
export fn by_hand(n) = loop i = 0, t = 0 while i < n next i + 1, t +
    (let cr = i % 1024 - 700 in let ci = i % 511 in
     loop k = 0, re = 0, im = 0 while (if (re * re + im * im) / 1024 < 4096 then k < 50 else 0)
     next k + 1, (re * re - im * im) / 1024 + cr, (re * im + im * re) / 1024 + ci in k) in t;
",
        argument: 60_000,
    },
    Program {
        name: "comparator",
        text: "
fn random(seed) = (seed * 1103515245 + 12345) % 2147483648;
fn better(a, b, less: closure) = if less(a, b) > 0 then b else a;
fn best(n, less: closure) = loop i = 0, seed = 1, found = 0 while i < n
    next i + 1, random(seed), better(found, seed, less) in found;
export fn written(n) = best(n, |a, b| a % 1000 < b % 1000);
export fn by_hand(n) = loop i = 0, seed = 1, found = 0 while i < n
    next i + 1, (seed * 1103515245 + 12345) % 2147483648,
         (if found % 1000 < seed % 1000 then seed else found) in found;
",
        argument: 4_000_000,
    },
    Program {
        name: "sort",
        text: "
record triple { a, b, c };
fn random(seed) = (seed * 1103515245 + 12345) % 2147483648;
fn order_ab(t: triple, less: closure) = if less(t.b, t.a) > 0
    then let a = t.a in set t.a = t.b in set t.b = a in 0 else 0;
fn order_bc(t: triple, less: closure) = if less(t.c, t.b) > 0
    then let b = t.b in set t.b = t.c in set t.c = b in 0 else 0;
fn sort(t: triple, less: closure) = order_ab(t, less) + order_bc(t, less) + order_ab(t, less);
fn median(x, y, z) = let t = triple { a: x, b: y, c: z } in sort(t, |x, y| x < y) + t.b;
export fn written(n) = loop i = 0, seed = 1, t = 0 while i < n
    next i + 1, random(seed), t + median(seed, seed / 7 % 100000, i * 300) in t;
export fn by_hand(n) = loop i = 0, seed = 1, t = 0 while i < n
    next i + 1, (seed * 1103515245 + 12345) % 2147483648, t +
    (let x = seed in let y = seed / 7 % 100000 in let z = i * 300 in
     let a = (if y < x then y else x) in let b = (if y < x then x else y) in
     let b2 = (if z < b then z else b) in if b2 < a then a else b2) in t;
",
        argument: 4_000_000,
    },
    Program {
        name: "visitor",
        text: "
record visitor { even: closure, odd: closure };
record counts { evens, odds };
fn visit(x, v: visitor) = let even = v.even in let odd = v.odd in
    if x % 2 > 0 then odd(x) else even(x);
fn walk(n, v: visitor) = sum i from 0 to n of visit(i, v);
export fn written(n) = let c = counts { evens: 0, odds: 0 } in
    walk(n, visitor {
        even: |x| set c.evens = c.evens + x in 1,
        odd: |x| set c.odds = c.odds + x * x in 2 }) + c.evens - c.odds;
export fn by_hand(n) = loop i = 0, t = 0, evens = 0, odds = 0 while i < n
    next i + 1, t + (if i % 2 > 0 then 2 else 1),
         (if i % 2 > 0 then evens else evens + i), (if i % 2 > 0 then odds + i * i else odds)
    in t + evens - odds;
",
        argument: 8_000_000,
    },
    Program {
        name: "table",
        text: "
record shape { size, grows };
fn area(size, by) = size * size + by;
fn grown(size, by) = size + by;
table square = [area, grown];
fn area_of(s: shape) = square[0](s.size, s.grows);
fn grow(s: shape): shape = shape { size: square[1](s.size, 3) % 1000, grows: s.grows };
export fn written(n) = let s = shape { size: 1, grows: n } in
    sum i from 0 to n of (let g = grow(s) in set s.size = g.size in area_of(g) % 77);
export fn by_hand(n) = loop i = 0, size = 1, t = 0 while i < n
    next i + 1, (size + 3) % 1000, t + (let g = (size + 3) % 1000 in (g * g + n) % 77) in t;
",
        argument: 4_000_000,
    },
    Program {
        name: "tokens",
        text: "
record cursor { rest };
fn peek(c: cursor): option = if c.rest > 0 then some c.rest % 10 else none;
fn advance(c: cursor) = set c.rest = c.rest / 10 in 0;
fn digit(c: cursor): option =
    match peek(c) some d then (if d > 4 then some d + advance(c) else none) else none;
fn skip(c: cursor) = advance(c);
fn scan(c: cursor) = loop total = 0 while c.rest > 0
    next total + (match digit(c) some d then d else 1 + skip(c)) in total;
export fn written(n) = sum i from 0 to n of scan(cursor { rest: i * 7919 });
export fn by_hand(n) = loop i = 0, t = 0 while i < n next i + 1, t +
    (loop rest = i * 7919, total = 0 while rest > 0
     next rest / 10, total + (let d = rest % 10 in if d > 4 then d else 1) in total) in t;
",
        argument: 400_000,
    },
    Program {
        name: "adapters",
        text: "
record evens { inner: range };
record take { inner: evens, left };
fn evens_next(e: evens): option =
    match range_next(e.inner) some x then
        (if x % 2 > 0 then range_next(e.inner) else some x) else none;
fn take_next(t: take): option =
    if t.left > 0 then set t.left = t.left - 1 in evens_next(t.inner) else none;
export fn written(n) =
    let r = range { at: 0, end: n * 2 } in let e = evens { inner: r } in
    fold t = 0 over x in take { inner: e, left: n } of t + x * x % 13;
export fn by_hand(n) = loop at = 0, left = n, t = 0
    while (if left > 0 then at < n * 2 else 0)
    next at + (if at % 2 > 0 then 2 else 1), left - 1,
         (let x = (if at % 2 > 0 then at + 1 else at) in if x < n * 2 then t + x * x % 13 else t)
    in t;
",
        argument: 3_000_000,
    },
    Program {
        name: "erased",
        text: "
record erased { next: closure, last };
fn erased_next(e: erased): option =
    let next = e.next in let x = next(e.last) in
    if x < 0 then none else set e.last = x in some x;
fn count(e: erased) = fold t = 0 over x in e of t + x % 5;
export fn written(n) = count(erased { next: |x| if x < n then x + 1 else 0 - 1, last: 0 });
export fn by_hand(n) = loop x = 0, t = 0 while x < n next x + 1, t + (x + 1) % 5 in t;
",
        argument: 6_000_000,
    },
    Program {
        name: "builder",
        text: "
record settings { width, height, depth, scale };
fn fresh(): settings = settings { width: 1, height: 1, depth: 1, scale: 2 };
fn with_width(s: settings, w): settings =
    settings { width: w, height: s.height, depth: s.depth, scale: s.scale };
fn with_height(s: settings, h): settings =
    settings { width: s.width, height: h, depth: s.depth, scale: s.scale };
fn with_depth(s: settings, d): settings =
    settings { width: s.width, height: s.height, depth: d, scale: s.scale };
fn volume(s: settings) = s.width * s.height * s.depth * s.scale;
export fn written(n) = sum i from 0 to n of
    volume(with_depth(with_height(with_width(fresh(), i), i + 1), 3)) % 101;
export fn by_hand(n) = loop i = 0, t = 0 while i < n next i + 1, t + i * (i + 1) * 3 * 2 % 101 in t;
",
        argument: 4_000_000,
    },
    Program {
        name: "counter",
        text: "
record cell { value };
fn each(n, f: closure) = sum i from 0 to n of f(i);
export fn written(n) = let c = cell { value: 0 } in
    each(n, |x| set c.value = c.value + x * 3 in c.value % 3) + c.value;
export fn by_hand(n) = loop i = 0, t = 0, c = 0 while i < n
    next i + 1, t + (c + i * 3) % 3, c + i * 3 in t + c;
",
        argument: 6_000_000,
    },
    Program {
        name: "zip",
        text: "
record zip { left: range, right: range };
fn zip_next(z: zip): option = match range_next(z.left) some a
    then (match range_next(z.right) some b then some a * b else none) else none;
export fn written(n) =
    let left = range { at: 0, end: n } in let right = range { at: 5, end: n * 2 } in
    fold t = 0 over x in zip { left: left, right: right } of t + x;
export fn by_hand(n) = loop a = 0, b = 5, t = 0 while (if a < n then b < n * 2 else 0)
    next a + 1, b + 1, t + a * b in t;
",
        argument: 8_000_000,
    },
    Program {
        name: "checked",
        text: "
fn checked_add(a, b): option = if a + b > 1000000 then none else some a + b;
fn checked_double(a): option = if a > 500000 then none else some a * 2;
fn combine(a, b): option = match checked_add(a, b) some s
    then (match checked_double(s) some d then checked_add(d, a) else none) else none;
export fn written(n) = loop i = 0, t = 0 while i < n
    next i + 1, (match combine(t, i % 1000) some x then x else 1) in t;
export fn by_hand(n) = loop i = 0, t = 0 while i < n next i + 1,
    (let s = t + i % 1000 in if s > 1000000 then 1 else if s > 500000 then 1
     else if s * 2 + t > 1000000 then 1 else s * 2 + t) in t;
",
        argument: 6_000_000,
    },
];
