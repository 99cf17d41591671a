//! Feeds the readers of a release to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(release);
