//! Feeds the readers of files to import to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(import);
