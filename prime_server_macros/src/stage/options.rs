//! The options of a stage.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use syn::{Attribute, Error};

use crate::errors::Errors;
use crate::options::{Kind, Known, Options, Value};

const KNOWN: &[Known] = &[
    Known { key: "workers", kind: Kind::Range(1), example: "workers = 4" },
    Known { key: "queue", kind: Kind::Number(0), example: "queue = 100" },
    Known { key: "timeout_ms", kind: Kind::Number(1), example: "timeout_ms = 2000" },
    Known { key: "idempotent", kind: Kind::Flag, example: "idempotent" },
    Known { key: "demote", kind: Kind::Bool, example: "demote = false" },
    Known { key: "max_instances", kind: Kind::Number(1), example: "max_instances = 64" },
    Known { key: "strict_priority", kind: Kind::Flag, example: "strict_priority" },
    Known { key: "max_delay_ms", kind: Kind::Number(1), example: "max_delay_ms = 50" },
    Known { key: "refuse_hopeless", kind: Kind::Bool, example: "refuse_hopeless = false" },
    Known { key: "batch", kind: Kind::Number(1), example: "batch = 32" },
    Known { key: "batch_wait_us", kind: Kind::Number(0), example: "batch_wait_us = 500" },
    Known { key: "name", kind: Kind::Text, example: "name = \"...\"" },
];

pub(super) struct StageOptions(Options);

impl StageOptions {
    pub(super) fn read(options: TokenStream, errors: &mut Errors) -> Self {
        Self(Options::new("stage", KNOWN).read(options, errors)).checked(errors)
    }

    pub(super) fn read_attributes(attributes: &[Attribute], errors: &mut Errors) -> Self {
        Self(Options::new("stage", KNOWN).read_attributes(attributes, errors)).checked(errors)
    }

    fn checked(self, errors: &mut Errors) -> Self {
        if let Some(wait) = self.0.place("batch_wait_us").filter(|_| !self.is_batch()) {
            errors.add(Error::new(
                wait,
                "`batch_wait_us` is how long a batch is waited for: write `batch = 32` beside it",
            ));
        }
        self
    }

    pub(super) fn name(&self) -> Option<String> {
        match self.0.value("name") {
            Some(Value::Text(name)) => Some(name.clone()),
            _ => None,
        }
    }

    /// Whether the stage takes several jobs at a time.
    pub(super) fn is_batch(&self) -> bool {
        self.0.place("batch").is_some()
    }

    /// `const DEFAULTS`, where an option is given: each calls the builder method of its name.
    pub(super) fn defaults(&self) -> Option<TokenStream> {
        let calls: Vec<_> = self.0.given().filter_map(|(key, value)| call(key, value)).collect();
        (!calls.is_empty()).then(|| {
            quote! {
                const DEFAULTS: ::prime_server::StageOptions = ::prime_server::StageOptions::new() #(#calls)*;
            }
        })
    }
}

fn call(key: &str, value: &Value) -> Option<TokenStream> {
    let method = format_ident!("{key}");
    match value {
        Value::Number(number) => {
            let number = Literal::u64_unsuffixed(*number);
            Some(quote!(.#method(#number)))
        }
        Value::Range(least, most) => {
            let between = format_ident!("{key}_between");
            let (least, most) = (Literal::u64_unsuffixed(*least), Literal::u64_unsuffixed(*most));
            Some(quote!(.#between(#least, #most)))
        }
        Value::Flag => Some(quote!(.#method(true))),
        Value::Bool(value) => Some(quote!(.#method(#value))),
        Value::Text(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_but_the_name_is_a_call() {
        let mut errors = Errors::default();
        let given =
            quote!(workers = 4, name = "sieve", timeout_ms = 2_000, idempotent, batch = 32, batch_wait_us = 500);
        let options = StageOptions::read(given, &mut errors);
        assert!(errors.is_empty());
        assert_eq!(options.name().as_deref(), Some("sieve"));
        let calls =
            quote!(.workers_between(4, 4).timeout_ms(2000).idempotent(true).batch(32).batch_wait_us(500)).to_string();
        assert!(options.defaults().unwrap().to_string().contains(&calls));
        assert!(StageOptions::read(quote!(name = "sieve"), &mut errors).defaults().is_none());
    }
}
