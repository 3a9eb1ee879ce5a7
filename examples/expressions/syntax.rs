//! What a program of the language is.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_module::Linkage;

/// A function; without a body it is defined elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) linkage: Linkage,
    pub(crate) parameters: Vec<String>,
    pub(crate) body: Option<Expression>,
}

#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Number(i64),
    Variable(String),
    Operation(Operator, Box<[Expression; 2]>),
    Call(String, Vec<Expression>),
    /// The address of a function.
    Address(String),
    If(Box<[Expression; 3]>),
    /// A value with a name, and what it is used in.
    Let(String, Box<[Expression; 2]>),
    /// A variable that goes from the first up to, not including, the second, and what to add up.
    Sum(String, Box<[Expression; 3]>),
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
