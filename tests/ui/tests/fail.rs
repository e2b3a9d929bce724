//! What must not compile, each with the message that it gets: a file of `fail/` is named after the rule that it breaks.

#[test]
fn each_mistake_has_its_message() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
