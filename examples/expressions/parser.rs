//! From text to functions, by recursive descent.

use super::syntax::{Expression, Function, Operator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_module::Linkage;

/// The functions of a program.
///
/// # Errors
///
/// Says what was expected and what was found.
pub(crate) fn parse(text: &str) -> Result<Vec<Function>, String> {
    let mut parser = Parser {
        tokens: tokens(text),
    };
    let mut functions = Vec::new();
    while !parser.tokens.is_empty() {
        functions.push(parser.function()?);
    }
    Ok(functions)
}

/// The tokens in reverse, so that the next one is popped.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let lines = text.lines();
    for line in lines.map(|line| line.split('#').next().unwrap_or_default()) {
        let mut in_word = false;
        for character in line.chars() {
            let is_word = character.is_alphanumeric() || character == '_';
            match tokens.last_mut() {
                Some(last) if in_word && is_word => last.push(character),
                _ if character.is_whitespace() => {}
                _ => tokens.push(character.to_string()),
            }
            in_word = is_word;
        }
    }
    tokens.reverse();
    tokens
}

struct Parser {
    tokens: Vec<String>,
}

impl Parser {
    fn next(&mut self) -> Result<String, String> {
        self.tokens
            .pop()
            .ok_or_else(|| "the program ends here".into())
    }

    /// Whether the next token is `token`, which is then taken.
    fn take(&mut self, token: &str) -> bool {
        let is_next = self.tokens.last().is_some_and(|next| next == token);
        if is_next {
            self.tokens.pop();
        }
        is_next
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
        let parameters = self.list(Self::next)?;
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
            body,
        })
    }

    /// What `item` reads, with commas between, up to the closing parenthesis.
    fn list<T>(&mut self, item: fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut items = Vec::new();
        while !self.take(")") {
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

    /// Operations that bind at least as tightly as those of `level`.
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
            let right = self.operations(level + 1)?;
            left = Expression::Operation(*operator, Box::new([left, right]));
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, String> {
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
        if self.take("(") {
            return Ok(Expression::Call(token, self.list(Self::expression)?));
        }
        Ok(Expression::Variable(token))
    }
}
