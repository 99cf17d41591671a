//! Where answers come from: lines of bytes that nobody has checked yet.

use std::io;
use std::time::Duration;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line without its end.
    Line(Vec<u8>),
    /// Nothing, within the time that was given.
    Nothing,
    /// Nothing ever again: the end of the input, Ctrl-C, or the end of the terminal.
    End,
}

/// A person, or a script in a person's place.
pub(crate) trait Input {
    /// The next line. Waits no longer than `patience`, for ever when there is none.
    fn read(&mut self, patience: Option<Duration>) -> io::Result<Typed>;

    /// Whether what is typed from now on is hidden.
    fn hide(&mut self, hidden: bool);
}
