//! `shards.bzl`: the backend's jobs for Bazel, as a macro with one rule for each shard.

use super::{Build, Import};
use std::fmt::Write as _;

const HEAD: &str = r#"# Made by `clif-inline thin`. In a BUILD file, beside which the paths below are:
#
#     load("//out:shards.bzl", "clif_shards")
#     clif_shards(name = "objects", tool = "//tools:clif-inline")

def _clif_backend(ctx):
    object = ctx.actions.declare_file(ctx.attr.object)
    arguments = [object.path if word == "{object}" else word for word in ctx.attr.arguments]
    ctx.actions.run(
        executable = ctx.executable.tool,
        arguments = arguments,
        inputs = ctx.files.inputs,
        outputs = [object],
        mnemonic = "ClifBackend",
        progress_message = "Inlining and compiling %{label}",
    )
    return [DefaultInfo(files = depset([object]))]

clif_backend = rule(
    implementation = _clif_backend,
    attrs = {
        "arguments": attr.string_list(),
        "inputs": attr.label_list(allow_files = True),
        "object": attr.string(),
        "tool": attr.label(executable = True, cfg = "exec", allow_files = True),
    },
)

"#;

/// Returns the text of `shards.bzl`.
pub(crate) fn text(build: &Build) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("_SHARDS = [\n");
    for shard in &build.shards {
        let mut arguments = shard.backend(&build.backend_options);
        for argument in &mut arguments {
            if *argument == shard.object {
                "{object}".clone_into(argument);
            }
        }
        let own = [shard.file(), &shard.plan].into_iter();
        let imports = shard.imports.iter().map(Import::file);
        let inputs: Vec<&str> = own.chain(imports).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "    struct(\n        object = {:?},\n        arguments = {:?},\n        inputs = {:?},\n    ),",
            shard.object, arguments, inputs
        );
    }
    text.push_str(
        "]\n\n\
         def clif_shards(name, tool):\n    \
         for shard in _SHARDS:\n        \
         clif_backend(\n            \
         name = shard.object + \".rule\",\n            \
         arguments = shard.arguments,\n            \
         inputs = shard.inputs,\n            \
         object = shard.object,\n            \
         tool = tool,\n        \
         )\n    \
         native.filegroup(name = name, srcs = [shard.object + \".rule\" for shard in _SHARDS])\n",
    );
    text
}
