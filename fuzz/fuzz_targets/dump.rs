//! Feeds the reader of what the kernel lists to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(dump);
