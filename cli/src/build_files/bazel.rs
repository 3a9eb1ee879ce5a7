//! `shards.bzl`: the backend's jobs for Bazel, as a macro with one rule for each shard.
//!
//! All files of imported shards are inputs in full. So if an edited shard is not followed by
//! `thin`, the shards that import it are made again, and find that their plans expect another
//! version.

use super::Build;
use std::fmt::Write as _;
use std::path::{Component, Path};

const RULES: &str = r#"
def _clif_backend(ctx):
    shard = ctx.file.shard
    plan = ctx.file.plan
    object = ctx.outputs.object
    arguments = ["backend", shard.path, "--plan", plan.path]
    imported = []
    for target, name in ctx.attr.imports.items():
        files = target.files.to_list()
        if len(files) != 1:
            fail("%s is not one file" % target.label)
        imported += files
        arguments += ["--import", name + "=" + files[0].path]
    ctx.actions.run(
        executable = ctx.executable.tool,
        arguments = arguments + ["-o", object.path] + ctx.attr.options,
        inputs = [shard, plan] + imported,
        outputs = [object],
        mnemonic = "ClifBackend",
        progress_message = "Inlining and compiling " + object.short_path,
    )
    return [DefaultInfo(files = depset([object]))]

clif_backend = rule(
    implementation = _clif_backend,
    attrs = {
        "imports": attr.label_keyed_string_dict(allow_files = True),
        "object": attr.output(mandatory = True),
        "options": attr.string_list(),
        "plan": attr.label(allow_single_file = True, mandatory = True),
        "shard": attr.label(allow_single_file = True, mandatory = True),
        "tool": attr.label(executable = True, cfg = "exec", allow_files = True, mandatory = True),
    },
)

def _label(path, labels):
    if path in labels:
        return labels[path]
    if path.startswith("/") or path.startswith("../"):
        fail("labels must name %s, which is not in the folder of the BUILD file" % path)
    return ":" + path

def clif_shards(name, tool, labels = {}, **common):
    """Declares a rule for each shard, and a group of all objects.

    Args:
      name: the name of the group.
      tool: the label of clif-inline. Bazel 4 does not find a program in the top folder.
      labels: the labels of files in other packages or made by other rules, by their paths below.
      **common: attributes of all these rules, such as visibility, tags or exec_properties.
    """
    for shard in _SHARDS:
        clif_backend(
            name = shard.object + ".rule",
            shard = _label(shard.shard, labels),
            plan = _label(shard.plan, labels),
            imports = {_label(path, labels): import_ for path, import_ in shard.imports.items()},
            object = shard.object,
            options = _OPTIONS,
            tool = tool,
            **common
        )
    native.filegroup(name = name, srcs = [shard.object for shard in _SHARDS], **common)
"#;

/// Returns the text of `shards.bzl`. Paths are those from the folder `here`, in which the tool
/// runs.
pub(crate) fn text(build: &Build, here: &Path) -> String {
    let mut text = String::from(
        "# Made by `clif-inline thin`. In the BUILD file of the folder in which it ran:\n#\n",
    );
    let folder = inside(&build.folder, here);
    let place = match &*folder {
        "" => "shards.bzl".to_owned(),
        folder => format!("{folder}/shards.bzl"),
    };
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "#     load({}, \"clif_shards\")\n#\n\
         #     clif_shards(name = \"objects\", tool = \"//tools:clif-inline\")\n",
        quoted(&format!(":{place}"))
    );
    text.push_str(RULES);
    text.push_str("\n_OPTIONS = [\n");
    for option in &build.backend_options {
        let _ = writeln!(text, "    {},", quoted(option));
    }
    text.push_str("]\n\n_SHARDS = [\n");
    for shard in &build.shards {
        let object = inside(&shard.object, here);
        // An output outside of the package has no label.
        let object = match is_outside(&object) {
            true => file_name(&object),
            false => &object,
        };
        let _ = write!(
            text,
            "    struct(\n        object = {},\n        shard = {},\n        plan = {},\n        \
             imports = {{",
            quoted(object),
            quoted(&inside(shard.file(), here)),
            quoted(&inside(&shard.plan, here)),
        );
        for import in &shard.imports {
            let path = inside(import.file(), here);
            let _ = write!(
                text,
                "\n            {}: {},",
                quoted(&path),
                quoted(&import.name)
            );
        }
        let end = if shard.imports.is_empty() {
            ""
        } else {
            "\n        "
        };
        let _ = write!(text, "{end}}},\n    ),\n");
    }
    text.push_str("]\n");
    text
}

/// Returns a path without needless parts, and relative to the folder `here` if it leads into it.
fn inside(path: &str, here: &Path) -> String {
    let path = Path::new(path);
    let path = path.strip_prefix(here).unwrap_or(path);
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let path: std::path::PathBuf = parts.iter().collect();
    path.to_string_lossy().into_owned()
}

fn is_outside(path: &str) -> bool {
    path.starts_with('/') || path.starts_with("../")
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns a string of Starlark.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
