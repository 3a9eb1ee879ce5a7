//! Names for call sites that outlast a change of the program.

#[cfg(feature = "shards")]
use super::NodeId;
use super::{CallGraph, CallNode, SiteId, SiteRef};
use crate::program::{FunctionId, FunctionName};
use cranelift_codegen::ir::{Inst, SourceLoc};
use std::fmt;

/// A call on the way from a function to a call in it, as numbers of one run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PathStep {
    /// A call that was direct from the start.
    Site(SiteId),
    /// A call that was indirect at first, and became direct when its target was known.
    Resolved {
        /// The stage of the pass before which it became direct, from 1.
        stage: u8,
        /// The function in whose body it became direct.
        caller: FunctionId,
        /// The function that is called.
        callee: FunctionId,
        /// The number of earlier calls of the callee in the layout that became direct in the same
        /// stage.
        ordinal: u32,
    },
}

impl PathStep {
    /// Returns the number of a call that was direct from the start.
    pub fn site(self) -> Option<SiteId> {
        match self {
            PathStep::Site(site) => Some(site),
            PathStep::Resolved { .. } => None,
        }
    }
}

/// The name of a call site: its caller, its callee, and its ordinal among the calls between the
/// two.
///
/// Sites are counted per callee, in the order of the caller's layout, in the body that the front
/// end made. So the name of a site does not change when other functions change, or when its caller
/// gets or loses calls of *other* functions. It changes only with the earlier calls of the same
/// callee in the same caller. Files of profiles, hints and plans name sites in this way, with the
/// [location](CallGraph::site_location) as a check.
///
/// A call that comes into a function with an inlined body has no name of its own there. It keeps
/// the name from its first caller, and its present place is a path of sites: see
/// [`SiteRecord::path`](crate::pass::SiteRecord::path).
///
/// ```
/// use cranelift_inliner::graph::CallGraph;
/// use cranelift_inliner::program::Program;
///
/// let program = Program::from_clif("
/// function %a() {
///     fn0 = %b()
///     fn1 = %c()
/// block0:
///     call fn0()
///     call fn1()
///     call fn0()
///     return
/// }", "example")?;
/// let graph = CallGraph::new(&program);
/// let names: Vec<String> = graph
///     .site_names()
///     .map(|(_, name)| name.to_string())
///     .collect();
/// assert_eq!(names, ["%a -> %b #0", "%a -> %c #0", "%a -> %b #1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SiteName {
    /// The function whose original body has the call.
    pub caller: FunctionName,
    /// The function that is called; the program need not define it.
    pub callee: FunctionName,
    /// The number of calls of the same callee in the caller before this one.
    pub ordinal: u32,
    /// 0 for a call that was direct from the start. Otherwise the call was indirect, this is the
    /// stage of the pass before which its target became known, and only calls of the same stage are
    /// counted.
    pub stage: u32,
}

/// Writes `%caller -> %callee #ordinal`, and `~stage` where that is not 0.
impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SiteName {
            caller,
            callee,
            ordinal,
            stage,
        } = self;
        write!(f, "{caller} -> {callee} #{ordinal}")?;
        match stage {
            0 => Ok(()),
            stage => write!(f, "~{stage}"),
        }
    }
}

impl CallGraph {
    /// Returns the name of a site; `None` for a call of one of Cranelift's own routines, and if the
    /// graph has no such site.
    pub fn site_name(&self, id: SiteId) -> Option<SiteName> {
        let program = self.program();
        let site = self.site(id)?;
        let callee = match site.callee {
            CallNode::Function(id) => program.get(*id)?.name().clone(),
            CallNode::External(name) => name.clone(),
            CallNode::Runtime(_) => return None,
        };
        Some(SiteName {
            caller: program.get(site.caller)?.name().clone(),
            callee,
            ordinal: site.edge.ordinal,
            stage: 0,
        })
    }

    /// Returns the name of a node; `None` for the routines and symbols that Cranelift itself names.
    #[cfg(feature = "shards")]
    pub(crate) fn callee_name(&self, node: NodeId) -> Option<&FunctionName> {
        match self.edges.node(node)? {
            CallNode::Function(id) => Some(self.program.get(*id)?.name()),
            CallNode::External(name) => Some(name),
            CallNode::Runtime(_) => None,
        }
    }

    /// Like [`site_name`](Self::site_name), but for any step of a path.
    pub fn step_name(&self, step: PathStep) -> Option<SiteName> {
        let program = self.program();
        match step {
            PathStep::Site(site) => self.site_name(site),
            PathStep::Resolved {
                stage,
                caller,
                callee,
                ordinal,
            } => Some(SiteName {
                caller: program.get(caller)?.name().clone(),
                callee: program.get(callee)?.name().clone(),
                ordinal,
                stage: stage.into(),
            }),
        }
    }

    /// Returns the names of all sites that have one, by caller in input order, then in layout
    /// order.
    pub fn site_names(&self) -> impl Iterator<Item = (SiteRef<'_>, SiteName)> {
        let sites = self.sites();
        sites.filter_map(|site| Some((site, self.site_name(site.id)?)))
    }

    /// Returns the site of this name; `None` if the program has none.
    ///
    /// Takes time linear in the sites of the caller. To look up many names, put
    /// [`site_names`](Self::site_names) into a map.
    pub fn find_site(&self, name: &SiteName) -> Option<SiteRef<'_>> {
        let program = self.program();
        let mut sites = self.callees(program.id(&name.caller)?);
        sites.find(|site| {
            name.stage == 0
                && site.edge.ordinal == name.ordinal
                && match site.callee {
                    CallNode::Function(id) => {
                        program.get(*id).map(|callee| callee.name()) == Some(&name.callee)
                    }
                    CallNode::External(callee) => *callee == name.callee,
                    CallNode::Runtime(_) => false,
                }
        })
    }

    /// Returns the site of the instruction `call` in the function `caller`; `None` if it is not a
    /// direct call. Takes time linear in the sites of the caller.
    pub fn site_at(&self, caller: FunctionId, call: Inst) -> Option<SiteRef<'_>> {
        self.callees(caller).find(|site| site.edge.inst == call)
    }

    /// Returns the source location of a site in the body of its caller; the default one if nothing
    /// is known.
    pub fn site_location(&self, id: SiteId) -> SourceLoc {
        let location = || {
            let site = self.site(id)?;
            if let Some(location) = self.late_location(&site) {
                return Some(location);
            }
            let body = self.program.get(site.caller)?.body();
            Some(body.srcloc(site.edge.inst))
        };
        location().unwrap_or_default()
    }
}
