use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::*;
use cranelift_inliner::splice::*;
struct All<'a>(&'a Function);
impl Inline for All<'_> {
    fn inline(
        &mut self,
        _: &Function,
        _: Inst,
        _: Opcode,
        _: FuncRef,
        _: &[Value],
    ) -> InlineCommand<'_> {
        InlineCommand::Inline {
            callee: std::borrow::Cow::Borrowed(self.0),
            visit_callee: false,
        }
    }
}
fn main() {
    let mode = std::env::args().nth(1).unwrap();
    let n: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let k: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    let mut t =
        String::from("function %callee(i64, i64) -> i64 system_v {\nblock0(v0: i64, v1: i64):\n");
    let mut v = 2;
    t += "    brif v0, block1, block2\nblock1:\n";
    for i in 0..k {
        match i % 4 {
            0 => t += &format!("    v{} = iadd v{}, v1\n", v, v - 1),
            1 => t += &format!("    v{} = load.i64 notrap aligned v{}+8\n", v, v - 1),
            2 => {
                t += &format!("    store notrap aligned v{}, v0+16\n", v - 1);
                continue;
            }
            _ => t += &format!("    v{} = iconst.i64 {}\n", v, i),
        }
        v += 1;
    }
    t += &format!("    jump block2\nblock2:\n    return v0\n}}\n");
    t += "function %caller(i64) -> i64 system_v {\n    fn0 = %callee(i64, i64) -> i64 system_v\nblock0(v0: i64):\n";
    for i in 0..n {
        t += &format!("    v{} = call fn0(v{}, v0)\n", i + 1, i);
    }
    t += &format!("    return v{}\n}}\n", n);
    let fs = cranelift_reader::parse_functions(&t).unwrap();
    let mut ctx = cranelift_codegen::Context::for_function(fs[1].clone());
    let calls: Vec<Inst> = fs[1]
        .layout
        .block_insts(fs[1].layout.entry_block().unwrap())
        .take(n)
        .collect();
    let start = std::time::Instant::now();
    match &*mode {
        "none" => {}
        "up" => {
            ctx.inline(All(&fs[0])).unwrap();
        }
        "drop" => {
            inline_calls(&mut ctx.func, All(&fs[0])).unwrap();
        }
        _ => {
            let callee = Callee::new(&fs[0]).unwrap();
            let mut c = SpliceContext::new();
            let o = SpliceOptions::default();
            let mut s = c.session(&mut ctx.func, &o);
            for i in calls {
                s.splice(i, &callee).unwrap();
            }
            s.finish();
        }
    }
    println!(
        "{mode} {n} {k}: {:?} per call {:?}",
        start.elapsed(),
        start.elapsed() / n.max(1) as u32
    );
}
