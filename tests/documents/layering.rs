//! The imports of the library go one way: from module to module in the order of the code map, and
//! without a cycle between the files of a folder.
//!
//! An item that the head of a folder exports again counts as one of the file that defines it. An
//! item that the head itself defines belongs to all of the folder. Tests in a file, and imports
//! for documentation alone, are left out.

use crate::root;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A path of the crate, from its root on.
type Segments = Vec<String>;

/// A source file: its imports, and the names that it exports again.
#[derive(Default)]
struct Source {
    imports: Vec<Segments>,
    exports: BTreeMap<String, Segments>,
    /// The modules of the crate's root that a path in the code names.
    named: BTreeSet<String>,
}

/// Returns the files below `src`, by module.
fn sources() -> BTreeMap<Segments, Source> {
    let mut sources = BTreeMap::new();
    read_folder(&root().join("src"), &Vec::new(), &mut sources);
    sources
}

fn read_folder(folder: &Path, module: &Segments, sources: &mut BTreeMap<Segments, Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let inner = || [&module[..], &[name.to_owned()]].concat();
        if path.is_dir() {
            read_folder(&path, &inner(), sources);
        } else if name != "tests" {
            let module = match name {
                "mod" | "lib" => module.clone(),
                _ => inner(),
            };
            let text = fs::read_to_string(&path).unwrap();
            sources.insert(module.clone(), Source::read(&module, &text));
        }
    }
}

impl Source {
    fn read(module: &Segments, text: &str) -> Source {
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let mut code: Vec<&str> = text.lines().filter(is_code).collect();
        while let Some(doc) = code.iter().position(|line| line.starts_with("#[cfg(doc)]")) {
            code.drain(doc..code.len().min(doc + 2));
        }
        let mut source = Source::default();
        for line in &code {
            for named in line.split("crate::").skip(1) {
                let is_name = |c: char| c.is_alphanumeric() || c == '_';
                let name = named.split(|c| !is_name(c)).next().unwrap();
                source.named.insert(name.to_owned());
            }
        }
        for (index, line) in code.iter().enumerate() {
            let exports = line.starts_with("pub") && line.contains(" use ");
            if line.starts_with("use ") || exports {
                let rest = code[index..].join("");
                let (_, rest) = rest.split_once("use ").unwrap();
                let tree = rest.split(';').next().unwrap().replace(' ', "");
                let mut paths = Vec::new();
                expand("", &tree, &mut paths);
                for path in &paths {
                    source.add(module, path, exports);
                }
            }
        }
        source
    }

    fn add(&mut self, module: &Segments, path: &str, exports: bool) {
        let segments: Segments = path.split("::").map(str::to_owned).collect();
        let above = segments.iter().take_while(|part| *part == "super").count();
        let path = match segments[0].as_str() {
            "crate" => segments[1..].to_vec(),
            "super" => [&module[..module.len() - above], &segments[above..]].concat(),
            "self" => [module, &segments[1..]].concat(),
            // A module below this one, or else another crate, which resolves to nothing.
            _ => [module, &segments[..]].concat(),
        };
        if exports {
            self.exports
                .insert(path.last().unwrap().clone(), path.clone());
        }
        self.imports.push(path);
    }
}

/// Lists the paths of a tree of imports.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        if !tree.is_empty() {
            paths.push(format!("{prefix}{tree}"));
        }
        return;
    };
    let prefix = format!("{prefix}{head}");
    let mut depth = 0_usize;
    let mut item = String::new();
    for c in rest.chars() {
        match c {
            ',' if depth == 0 => expand(&prefix, &std::mem::take(&mut item), paths),
            '}' if depth == 0 => break,
            _ => {
                depth += usize::from(c == '{');
                depth -= usize::from(c == '}');
                item.push(c);
            }
        }
    }
    expand(&prefix, &item, paths);
}

/// Returns the module that defines the item of a path; that of the root for none of the crate.
fn defined_in(sources: &BTreeMap<Segments, Source>, path: &Segments) -> Segments {
    let mut path = path.clone();
    // An exported name leads to a path, which another file may export in turn.
    for _ in 0..8 {
        let length = (0..=path.len())
            .rev()
            .find(|&length| sources.contains_key(&path[..length]));
        let (module, rest) = path.split_at(length.unwrap());
        let exports = &sources[module].exports;
        match rest.first().and_then(|name| exports.get(name)) {
            Some(exported) if *exported != path => {
                path = [&exported[..], &rest[1..]].concat();
            }
            _ => return module.to_vec(),
        }
    }
    panic!("{path:?} is exported again and again");
}

/// The imports between the children of each folder.
type FolderImports = BTreeMap<Segments, BTreeMap<String, BTreeSet<String>>>;

fn imports_in_folders(sources: &BTreeMap<Segments, Source>) -> FolderImports {
    let mut folders = FolderImports::new();
    for (module, source) in sources {
        for import in &source.imports {
            let to = defined_in(sources, import);
            let pairs = module.iter().zip(&to);
            let common = pairs.take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.get(common), to.get(common)) {
                let folder = folders.entry(module[..common].to_vec()).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    folders
}

/// Returns the names on cycles or between them: those left after all are gone that import none of
/// the rest, or that none of the rest imports.
fn on_cycles(mut imports: BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    loop {
        let names: BTreeSet<String> = imports.keys().cloned().collect();
        let imported: BTreeSet<String> = imports.values().flatten().cloned().collect();
        let before = imports.len();
        imports
            .retain(|name, to| imported.contains(name) && to.iter().any(|to| names.contains(to)));
        if imports.len() == before {
            return imports.into_keys().collect();
        }
    }
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_cycle() {
    let sources = sources();
    let folders = imports_in_folders(&sources);
    // So many that the sources were understood.
    let count = |folder: &[&str]| {
        let folder: Segments = folder.iter().map(|&part| part.to_owned()).collect();
        let imports = folders.get(&folder).into_iter().flatten();
        imports.map(|(_, to)| to.len()).sum::<usize>()
    };
    for (folder, least) in [
        (&["check"][..], 60),
        (&["check", "optimized"], 60),
        (&["cleanup"], 15),
        (&["splice"], 50),
    ] {
        assert!(count(folder) >= least, "{folder:?}: {}", count(folder));
    }
    for (folder, imports) in folders {
        let cycle = on_cycles(imports.clone());
        let part: Vec<_> = imports
            .iter()
            .filter(|(from, _)| cycle.contains(from))
            .collect();
        assert!(part.is_empty(), "src/{}: {part:#?}", folder.join("/"));
    }
}

#[test]
fn modules_import_only_those_before_them_in_the_code_map() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let rows = map.lines().filter_map(|line| line.strip_prefix("| "));
    let order: Vec<&str> = rows
        .filter_map(|row| {
            let linked = row.strip_prefix("[`src/");
            let path = linked.or_else(|| row.strip_prefix("`src/"))?;
            let name = path.split('`').next()?;
            let name = name.strip_suffix(".rs").unwrap_or(name);
            (!name.contains('/')).then_some(name)
        })
        .collect();
    let sources = sources();
    let mut checked = 0;
    for (module, source) in &sources {
        let Some(top) = module.first() else { continue };
        let layer = order.iter().position(|name| name == top);
        let layer = layer.unwrap_or_else(|| panic!("the code map lacks src/{top}"));
        for named in source.named.iter().filter(|&named| named != top) {
            let below = order[..layer].contains(&named.as_str());
            assert!(
                below || !sources.contains_key(&vec![named.clone()]),
                "{} imports {named}, which does not come before {top} in the code map",
                module.join("/")
            );
            checked += usize::from(below);
        }
    }
    assert!(checked > 200, "{checked} imports checked");
}

#[test]
fn cycles_and_exports_are_seen() {
    let texts = [
        ("", "pub(crate) mod a;\n"),
        (
            "a",
            "mod one;\nmod two;\npub use one::{First, Third};\npub(crate) use two::Second;\n",
        ),
        (
            "a::one",
            "use super::{Second,\n    other::Fine};\nuse std::fmt;\n",
        ),
        ("a::two", "#[cfg(doc)]\nuse super::Third;\n"),
        ("a::three", "use crate::a::First;\n"),
    ];
    let read = |change: Option<(&str, &str)>| {
        let sources = texts.iter().map(|&(module, text)| {
            let text = match change {
                Some((changed, added)) if changed == module => format!("{text}{added}"),
                _ => text.to_owned(),
            };
            let parts = module.split("::").filter(|part| !part.is_empty());
            let module: Segments = parts.map(str::to_owned).collect();
            (module.clone(), Source::read(&module, &text))
        });
        imports_in_folders(&sources.collect())
    };
    let cycles = |change| {
        let folders = read(change);
        on_cycles(folders[&vec!["a".to_owned()]].clone())
    };
    assert_eq!(cycles(None), [""; 0]);
    assert_eq!(
        cycles(Some(("a::two", "use super::First;\n"))),
        ["one", "two"]
    );
    assert_eq!(
        cycles(Some(("a::two", "use crate::a::{\n    three::X,\n};\n"))),
        ["one", "three", "two"]
    );
}
