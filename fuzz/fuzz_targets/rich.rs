//! Feeds the renderer of messages to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(rich);
