//! Parses text to functions, by recursive descent.

use super::syntax::{Expression, Fold, Function, Loop, Operator, Program, Record, Table, Type};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_module::Linkage;

/// Reads a program.
///
/// # Errors
///
/// A message with the expected and the actual token.
pub(crate) fn parse(text: &str) -> Result<Program, String> {
    let mut parser = Parser {
        tokens: tokens(text),
        line: 0,
    };
    let mut program = Program::default();
    while !parser.tokens.is_empty() {
        if parser.take("record") {
            program.records.push(parser.record()?);
        } else if parser.take("table") {
            program.tables.push(parser.table()?);
        } else {
            program.functions.push(parser.function()?);
        }
    }
    Ok(program)
}

/// Returns the tokens with their lines in reverse, so that the next one is popped.
fn tokens(text: &str) -> Vec<(String, u32)> {
    let mut tokens: Vec<(String, u32)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let mut in_word = false;
        for character in line.chars() {
            let is_word = character.is_alphanumeric() || character == '_';
            match tokens.last_mut() {
                Some((last, _)) if in_word && is_word => last.push(character),
                _ if character.is_whitespace() => {}
                _ => tokens.push((character.to_string(), number)),
            }
            in_word = is_word;
        }
    }
    tokens.reverse();
    tokens
}

struct Parser {
    tokens: Vec<(String, u32)>,
    /// That of the last token that was taken.
    line: u32,
}

impl Parser {
    fn next(&mut self) -> Result<String, String> {
        let (token, line) = self.tokens.pop().ok_or("the program ends here")?;
        self.line = line;
        Ok(token)
    }

    /// Returns whether the next token is `token`, and takes it then.
    fn take(&mut self, token: &str) -> bool {
        let next = self.tokens.pop_if(|(next, _)| next == token);
        if let Some((_, line)) = next {
            self.line = line;
        }
        next.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        let found = self.next()?;
        if found == token {
            Ok(())
        } else {
            Err(format!("expected `{token}`, found `{found}`"))
        }
    }

    fn function(&mut self) -> Result<Function, String> {
        let mut linkage = Linkage::Local;
        for (word, means) in [
            ("export", Linkage::Export),
            ("hidden", Linkage::Hidden),
            ("weak", Linkage::Preemptible),
        ] {
            if self.take(word) {
                linkage = means;
            }
        }
        self.expect("fn")?;
        let name = self.next()?;
        self.expect("(")?;
        let parameters = self.list(")", Self::typed_name)?;
        let result = self.annotation()?;
        let mut body = None;
        if self.take("=") {
            body = Some(self.expression()?);
        } else {
            linkage = Linkage::Import;
        }
        self.expect(";")?;
        Ok(Function {
            name,
            linkage,
            parameters,
            result,
            body,
        })
    }

    fn record(&mut self) -> Result<Record, String> {
        let name = self.next()?;
        self.expect("{")?;
        let fields = self.list("}", Self::typed_name)?;
        self.expect(";")?;
        Ok(Record { name, fields })
    }

    fn table(&mut self) -> Result<Table, String> {
        let name = self.next()?;
        self.expect("=")?;
        self.expect("[")?;
        let functions = self.list("]", Self::next)?;
        self.expect(";")?;
        Ok(Table { name, functions })
    }

    fn typed_name(&mut self) -> Result<(String, Type), String> {
        Ok((self.next()?, self.annotation()?))
    }

    /// Parses the type after a colon; an integer without one.
    fn annotation(&mut self) -> Result<Type, String> {
        if !self.take(":") {
            return Ok(Type::Integer);
        }
        let name = self.next()?;
        Ok(match name.as_str() {
            "integer" => Type::Integer,
            "option" => Type::Option,
            "closure" => Type::Closure,
            _ => Type::Record(name),
        })
    }

    /// Parses items with `item`, separated by commas, up to `end`.
    fn list<T>(
        &mut self,
        end: &str,
        item: fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut items = Vec::new();
        while !self.take(end) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn expression(&mut self) -> Result<Expression, String> {
        if self.take("if") {
            let condition = self.expression()?;
            self.expect("then")?;
            let then = self.expression()?;
            self.expect("else")?;
            let parts = [condition, then, self.expression()?];
            return Ok(Expression::If(Box::new(parts)));
        }
        if self.take("let") {
            let name = self.next()?;
            self.expect("=")?;
            let value = self.expression()?;
            self.expect("in")?;
            let parts = [value, self.expression()?];
            return Ok(Expression::Let(name, Box::new(parts)));
        }
        if self.take("loop") {
            return self.repetition();
        }
        if self.take("fold") {
            let line = self.line;
            return Ok(at(line, self.fold()?));
        }
        if self.take("set") {
            let place = self.operand()?;
            let Expression::Field(record, field) = place else {
                return Err("expected a field to set".into());
            };
            self.expect("=")?;
            let value = self.expression()?;
            self.expect("in")?;
            let parts = [*record, value, self.expression()?];
            return Ok(Expression::Set(field, Box::new(parts)));
        }
        if self.take("match") {
            let option = self.expression()?;
            self.expect("some")?;
            let name = self.next()?;
            self.expect("then")?;
            let some = self.expression()?;
            self.expect("else")?;
            let parts = [option, some, self.expression()?];
            return Ok(Expression::Match(name, Box::new(parts)));
        }
        if self.take("some") {
            return Ok(Expression::Some(Box::new(self.expression()?)));
        }
        if self.take("none") {
            return Ok(Expression::None);
        }
        if self.take("|") {
            let parameters = self.list("|", Self::next)?;
            let body = Box::new(self.expression()?);
            return Ok(Expression::Closure(parameters, body));
        }
        if self.take("sum") {
            let name = self.next()?;
            self.expect("from")?;
            let from = self.expression()?;
            self.expect("to")?;
            let to = self.expression()?;
            self.expect("of")?;
            let parts = [from, to, self.expression()?];
            return Ok(Expression::Sum(name, Box::new(parts)));
        }
        self.operations(0)
    }

    fn repetition(&mut self) -> Result<Expression, String> {
        let mut variables = Vec::new();
        loop {
            let name = self.next()?;
            self.expect("=")?;
            variables.push((name, self.expression()?));
            if !self.take(",") {
                break;
            }
        }
        self.expect("while")?;
        let condition = self.expression()?;
        self.expect("next")?;
        let next = self.list("in", Self::expression)?;
        if next.len() != variables.len() {
            return Err("each variable of a loop needs a next value".into());
        }
        let result = self.expression()?;
        Ok(Expression::Loop(Box::new(Loop {
            variables,
            condition,
            next,
            result,
        })))
    }

    fn fold(&mut self) -> Result<Expression, String> {
        let total = self.next()?;
        self.expect("=")?;
        let start = self.expression()?;
        self.expect("over")?;
        let item = self.next()?;
        self.expect("in")?;
        let iterator = self.expression()?;
        self.expect("of")?;
        let body = self.expression()?;
        Ok(Expression::Fold(Box::new(Fold {
            total,
            start,
            item,
            iterator,
            body,
        })))
    }

    /// Parses operations that bind at least as tightly as those of `level`.
    fn operations(&mut self, level: usize) -> Result<Expression, String> {
        use Operator::{Add, Compare, Divide, Multiply, Remainder, Subtract};
        const LEVELS: [&[(&str, Operator)]; 3] = [
            &[
                ("<", Compare(IntCC::SignedLessThan)),
                (">", Compare(IntCC::SignedGreaterThan)),
            ],
            &[("+", Add), ("-", Subtract)],
            &[("*", Multiply), ("/", Divide), ("%", Remainder)],
        ];
        let Some(operators) = LEVELS.get(level) else {
            return self.operand();
        };
        let mut left = self.operations(level + 1)?;
        while let Some((_, operator)) = operators.iter().find(|(token, _)| self.take(token)) {
            let line = self.line;
            let right = self.operations(level + 1)?;
            left = Expression::Operation(*operator, Box::new([left, right]));
            if matches!(operator, Divide | Remainder) {
                left = at(line, left);
            }
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, String> {
        let mut operand = self.atom()?;
        while self.take(".") {
            operand = Expression::Field(Box::new(operand), self.next()?);
        }
        Ok(operand)
    }

    fn atom(&mut self) -> Result<Expression, String> {
        let token = self.next()?;
        if token == "(" {
            let inner = self.expression()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if token == "&" {
            return Ok(Expression::Address(self.next()?));
        }
        if token.starts_with(|first: char| first.is_ascii_digit()) {
            let number = token.parse().map_err(|error| format!("{token}: {error}"))?;
            return Ok(Expression::Number(number));
        }
        if !token.starts_with(|first: char| first.is_alphabetic() || first == '_') {
            return Err(format!("expected a value, found `{token}`"));
        }
        let line = self.line;
        if self.take("(") {
            let arguments = self.list(")", Self::expression)?;
            return Ok(at(line, Expression::Call(token, arguments)));
        }
        if self.take("[") {
            let index = Box::new(self.expression()?);
            self.expect("]")?;
            self.expect("(")?;
            let arguments = self.list(")", Self::expression)?;
            return Ok(at(line, Expression::TableCall(token, index, arguments)));
        }
        if self.take("{") {
            return Ok(Expression::Record(token, self.list("}", Self::field)?));
        }
        Ok(Expression::Variable(token))
    }

    fn field(&mut self) -> Result<(String, Expression), String> {
        let name = self.next()?;
        self.expect(":")?;
        Ok((name, self.expression()?))
    }
}

fn at(line: u32, expression: Expression) -> Expression {
    Expression::At(line, Box::new(expression))
}
