//! The rules compiled into the program: every `rules/**/*.toml`, gathered by `build.rs`.

include!(concat!(env!("OUT_DIR"), "/builtin_rules.rs"));
