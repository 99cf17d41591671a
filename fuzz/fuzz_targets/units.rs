//! Feeds the readers of sizes, speeds and ports to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(units);
