//! Feeds the reader of what nft prints to libFuzzer.
#![cfg_attr(fuzzing, no_main)]

pm_fuzz::target!(nft_json);
