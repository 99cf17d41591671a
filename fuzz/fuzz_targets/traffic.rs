//! Feeds the reader of the kernel's lists of queueing disciplines and classes to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(traffic);
