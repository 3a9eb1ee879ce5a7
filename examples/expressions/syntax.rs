//! The parts of a program of the language.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_module::Linkage;

#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) records: Vec<Record>,
    pub(crate) tables: Vec<Table>,
    pub(crate) functions: Vec<Function>,
}

/// The fields of a record, each of 8 bytes, in order.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) fields: Vec<(String, Type)>,
}

/// Constant addresses of functions.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) functions: Vec<String>,
}

/// A function; without a body it is defined elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) linkage: Linkage,
    pub(crate) parameters: Vec<(String, Type)>,
    pub(crate) result: Type,
    pub(crate) body: Option<Expression>,
}

/// The type of a value. All except integers are addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Integer,
    Option,
    Closure,
    Record(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Number(i64),
    Variable(String),
    Operation(Operator, Box<[Expression; 2]>),
    /// Of a function, or of the closure in a variable.
    Call(String, Vec<Expression>),
    /// The address of a function.
    Address(String),
    If(Box<[Expression; 3]>),
    /// A named value and the expression that uses it.
    Let(String, Box<[Expression; 2]>),
    /// A variable that goes from the first up to, not including, the second, and the terms to add.
    Sum(String, Box<[Expression; 3]>),
    Loop(Box<Loop>),
    /// A record and its fields.
    Record(String, Vec<(String, Expression)>),
    Field(Box<Expression>, String),
    /// A field of the first changes to the second before the third.
    Set(String, Box<[Expression; 3]>),
    Some(Box<Expression>),
    None,
    /// The option, the name of its value, and the two results.
    Match(String, Box<[Expression; 3]>),
    /// Parameters and the result.
    Closure(Vec<String>, Box<Expression>),
    /// The function at an index of a table, called.
    TableCall(String, Box<Expression>, Vec<Expression>),
    Fold(Box<Fold>),
    /// An expression that calls or may trap, and its line in the text.
    At(u32, Box<Expression>),
}

/// `loop i = 0, p = 1 while i < n next i + 1, p * 2 in p`
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub(crate) variables: Vec<(String, Expression)>,
    pub(crate) condition: Expression,
    pub(crate) next: Vec<Expression>,
    pub(crate) result: Expression,
}

/// `fold total = 0 over x in iterator of total + x`
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) total: String,
    pub(crate) start: Expression,
    pub(crate) item: String,
    pub(crate) iterator: Expression,
    pub(crate) body: Expression,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Compare(IntCC),
}
