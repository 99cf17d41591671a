//! Feeds the readers of answers to messages to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(telegram);
