//! What must hold of a program after inlining, each a function to call on one's own programs.
