//! Texts of expressions, evaluated over a datagram.
#![no_main]

#[path = "../bodies/expression.rs"]
mod expression;

libfuzzer_sys::fuzz_target!(|data: &[u8]| expression::evaluate(data));
