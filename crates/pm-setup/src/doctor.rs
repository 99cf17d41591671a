//! `pm doctor`: what is wrong with a machine, and what to do about it. Facts are gathered first; every check is a
//! function of them.

pub mod checks;
pub mod facts;

pub use checks::{Case, Check, Finding, Verdict, examine};
pub use facts::Facts;
