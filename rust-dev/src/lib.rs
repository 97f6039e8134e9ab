//! Home of `tests/`: property tests of `wbhlm-core` that need proptest.
