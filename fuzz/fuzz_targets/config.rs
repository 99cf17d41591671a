//! Feeds the reader of config.json to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(config);
