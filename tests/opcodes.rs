//! Every opcode of Cranelift has been considered: `docs/METADATA.md` has those that do more than
//! compute, with their meaning for a copy; the others are here.

use cranelift_codegen::ir::Opcode;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Opcodes that compute from their operands alone, and name nothing of their function but
/// constants.
const PLAIN: &str = "
splat swizzle x86_pshufb insertlane extractlane smin umin smax umax avg_round uadd_sat sadd_sat
usub_sat ssub_sat iconst f16const f32const f64const f128const vconst shuffle nop select
select_spectre_guard bitselect blendv vany_true vall_true vhigh_bits icmp iadd isub ineg iabs
imul umulhi smulhi sqmul_round_sat x86_pmulhrsw sadd_overflow_cin uadd_overflow_cin
uadd_overflow sadd_overflow usub_overflow ssub_overflow umul_overflow smul_overflow
ssub_overflow_bin usub_overflow_bin band bor bxor bnot rotl rotr ishl ushr sshr bitrev clz cls
ctz bswap popcnt fcmp fadd fsub fmul fdiv sqrt fma fneg fabs fcopysign fmin fmax ceil floor
trunc nearest bitcast scalar_to_vector bmask ireduce snarrow unarrow uunarrow swiden_low
swiden_high uwiden_low uwiden_high iadd_pairwise x86_pmaddubsw uextend sextend fpromote fdemote
fvdemote fvpromote_low fcvt_to_uint_sat fcvt_to_sint_sat x86_cvtt2dq fcvt_from_uint
fcvt_from_sint isplit iconcat extract_vector
";

/// Returns the properties that the document gives each opcode.
fn documented() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METADATA.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## Instructions\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut documented = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [opcodes, properties, _, _] = cells[..] else {
            panic!("{row}")
        };
        for opcode in opcodes.split('`').skip(1).step_by(2) {
            let before = documented.insert(opcode.to_owned(), properties.to_owned());
            assert_eq!(before, None, "{opcode} is there twice");
        }
    }
    documented
}

fn properties(opcode: Opcode) -> String {
    let all = [
        (opcode.is_call(), "call"),
        (opcode.is_safepoint(), "safepoint"),
        (opcode.is_return(), "return"),
        (opcode.is_terminator(), "terminator"),
        (opcode.is_branch(), "branch"),
        (opcode.can_load(), "load"),
        (opcode.can_store(), "store"),
        (opcode.can_trap(), "trap"),
        (opcode.other_side_effects(), "other"),
        (opcode.side_effects_idempotent(), "idempotent"),
    ];
    let held = all.into_iter().filter(|(held, _)| *held);
    let names: Vec<&str> = held.map(|(_, name)| name).collect();
    names.join(", ")
}

#[test]
fn each_opcode_is_documented_or_plain() {
    let documented = documented();
    let plain: BTreeSet<&str> = PLAIN.split_whitespace().collect();
    let mut known = BTreeSet::new();
    for &opcode in Opcode::all() {
        let name = opcode.to_string();
        let properties = properties(opcode);
        match documented.get(&name) {
            Some(said) => {
                assert_eq!(*said, properties, "{name}");
                assert!(!plain.contains(&*name), "{name} is in both lists");
            }
            None => {
                assert!(
                    plain.contains(&*name),
                    "{name} is new: decide on its meaning for a copy"
                );
                assert_eq!(properties, "", "{name}");
            }
        }
        known.insert(name);
    }
    let gone = documented.keys().map(String::as_str).chain(plain);
    let gone: Vec<&str> = gone.filter(|name| !known.contains(*name)).collect();
    assert_eq!(gone, Vec::<&str>::new());
}
