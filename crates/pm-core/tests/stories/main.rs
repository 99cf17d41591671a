//! Stories on a machine in memory, whose clock the test moves: every rule of pm, told by what a user would see.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod accounting;
mod chronicle;
mod clocks;
mod dynqos;
mod edits;
mod groups;
mod history;
mod quota;
mod report;
mod resets;
mod world;
