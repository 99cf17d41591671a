//! Feeds the editor of crontabs to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(crontab);
