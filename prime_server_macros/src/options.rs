//! The options of an attribute: `key = value` or a bare key, each at most once.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Data, Error, Expr, ExprLit, ExprRange, Lit, Meta, RangeLimits, Token};

use crate::errors::Errors;

/// An option that an attribute has.
pub(crate) struct Known {
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    /// As it may be written, for messages.
    pub(crate) example: &'static str,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A bare key.
    Flag,
    /// `true` or `false`.
    Bool,
    /// A whole number that is at least this one.
    Number(u64),
    /// Such a number, or a range of them, both ends included.
    Range(u64),
    /// A string that is not empty.
    Text,
}

/// An option's value as given.
pub(crate) enum Value {
    Flag,
    Bool(bool),
    Number(u64),
    Range(u64, u64),
    Text(String),
}

/// The options of one attribute of one item.
pub(crate) struct Options {
    attribute: &'static str,
    known: &'static [Known],
    given: Vec<(&'static str, Value)>,
    /// All that are named, with where, also those whose value is wrong.
    named: Vec<(&'static str, Span)>,
}

impl Options {
    pub(crate) fn new(attribute: &'static str, known: &'static [Known]) -> Self {
        Self { attribute, known, given: Vec::new(), named: Vec::new() }
    }

    /// Reads what stands between the attribute's parentheses.
    pub(crate) fn read(mut self, options: TokenStream, errors: &mut Errors) -> Self {
        match Punctuated::<Meta, Token![,]>::parse_terminated.parse2(options) {
            Ok(options) => options.iter().for_each(|option| self.take(option, errors)),
            Err(error) => {
                let sentence = format!("options are written {}, with commas between them", self.examples());
                errors.add(Error::new(error.span(), sentence));
            }
        }
        self
    }

    /// Reads those of an item's attributes that have this name; a derive finds its options there.
    pub(crate) fn read_attributes(mut self, attributes: &[Attribute], errors: &mut Errors) -> Self {
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(self.attribute)) {
            match &attribute.meta {
                Meta::Path(_) => {}
                Meta::List(list) => self = self.read(list.tokens.clone(), errors),
                Meta::NameValue(_) => {
                    let Known { example, .. } = self.known[0];
                    errors.push(attribute, format!("write `#[{}({example})]`", self.attribute));
                }
            }
        }
        self
    }

    fn take(&mut self, option: &Meta, errors: &mut Errors) {
        let path = option.path();
        let Some(known) = self.known.iter().find(|known| path.is_ident(known.key)) else {
            let (attribute, key) = (self.attribute, path.to_token_stream());
            errors.push(path, format!("`#[{attribute}]` has no option `{key}`: it has {}", self.examples()));
            return;
        };
        if self.place(known.key).is_some() {
            errors.push(option, format!("`{}` is given twice: leave one of them out", known.key));
            return;
        }
        self.named.push((known.key, option.span()));
        match known.kind.value(option) {
            Ok(value) => self.given.push((known.key, value)),
            Err(takes) => errors.push(option, format!("`{}` takes {takes}: write `{}`", known.key, known.example)),
        }
    }

    /// All that may be written, as a list in words.
    fn examples(&self) -> String {
        let quoted: Vec<_> = self.known.iter().map(|known| format!("`{}`", known.example)).collect();
        match quoted.split_last() {
            Some((last, rest @ [_, ..])) => format!("{} and {last}", rest.join(", ")),
            _ => quoted.concat(),
        }
    }

    /// In the order in which they were given.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.given.iter().map(|(key, value)| (*key, value))
    }

    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.given().find(|(given, _)| *given == key).map(|(_, value)| value)
    }

    /// Where an option stands, whatever its value.
    pub(crate) fn place(&self, key: &str) -> Option<Span> {
        self.named.iter().find(|(named, _)| *named == key).map(|(_, place)| *place)
    }
}

impl Kind {
    /// The option's value, or what it should be.
    fn value(self, option: &Meta) -> Result<Value, String> {
        let value = match option {
            Meta::NameValue(pair) => Some(&pair.value),
            _ => None,
        };
        let literal = value.and_then(literal);
        match (self, literal, option) {
            (Kind::Flag, _, Meta::Path(_)) => Ok(Value::Flag),
            (Kind::Flag, ..) => Err("no value".to_owned()),
            (Kind::Bool, Some(Lit::Bool(value)), _) => Ok(Value::Bool(value.value)),
            (Kind::Bool, ..) => Err("`true` or `false`".to_owned()),
            (Kind::Number(least), Some(Lit::Int(number)), _) => match number.base10_parse() {
                Ok(number) if number >= least => Ok(Value::Number(number)),
                _ => Err(number_from(least)),
            },
            (Kind::Number(least), ..) => Err(number_from(least)),
            (Kind::Range(least), ..) => value
                .and_then(|value| range(value).or_else(|| number(value).map(|number| (number, number))))
                .filter(|(from, to)| *from >= least && from <= to)
                .map(|(from, to)| Value::Range(from, to))
                .ok_or_else(|| format!("{}, or a range like 2..=16", number_from(least))),
            (Kind::Text, Some(Lit::Str(text)), _) if !text.value().is_empty() => Ok(Value::Text(text.value())),
            (Kind::Text, ..) => Err("a text in quotes, and not an empty one".to_owned()),
        }
    }
}

fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        _ => None,
    }
}

/// The ends of a range that includes both.
fn range(value: &Expr) -> Option<(u64, u64)> {
    let Expr::Range(ExprRange { start: Some(start), limits: RangeLimits::Closed(_), end: Some(end), .. }) = value
    else {
        return None;
    };
    Some((number(start)?, number(end)?))
}

fn number(value: &Expr) -> Option<u64> {
    match literal(value) {
        Some(Lit::Int(number)) => number.base10_parse().ok(),
        _ => None,
    }
}

fn number_from(least: u64) -> String {
    match least {
        0 => "a whole number".to_owned(),
        least => format!("a whole number, {least} or more"),
    }
}

/// A derive's options stand on the type; a field or variant that has some would be passed over in silence.
pub(crate) fn refuse_inside(data: &Data, attribute: &'static str, errors: &mut Errors) {
    let fields: Vec<_> = match data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(data) => data.fields.named.iter().collect(),
    };
    let variants = match data {
        Data::Enum(data) => data.variants.iter().collect(),
        _ => Vec::new(),
    };
    let attributes = fields.into_iter().map(|field| &field.attrs).chain(variants.into_iter().map(|v| &v.attrs));
    for misplaced in attributes.flatten().filter(|found| found.path().is_ident(attribute)) {
        errors.push(misplaced, format!("`#[{attribute}]` stands above the type, not inside it"));
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    const KNOWN: &[Known] = &[
        Known { key: "size", kind: Kind::Number(1), example: "size = 4" },
        Known { key: "span", kind: Kind::Range(1), example: "span = 4" },
        Known { key: "fast", kind: Kind::Flag, example: "fast" },
        Known { key: "name", kind: Kind::Text, example: "name = \"x\"" },
    ];

    fn sentences(options: TokenStream) -> Vec<String> {
        let mut errors = Errors::default();
        _ = Options::new("it", KNOWN).read(options, &mut errors);
        errors.sentences()
    }

    #[test]
    fn options_are_read_in_any_order() {
        let mut errors = Errors::default();
        let options = Options::new("it", KNOWN).read(quote!(name = "x", size = 0x10_u8, fast,), &mut errors);
        assert!(errors.is_empty());
        assert!(matches!(options.value("size"), Some(Value::Number(16))));
        assert!(matches!(options.value("fast"), Some(Value::Flag)));
        assert!(matches!(options.value("name"), Some(Value::Text(name)) if name == "x"));
    }

    #[test]
    fn a_range_is_one_number_or_two() {
        let span = |options| {
            let mut errors = Errors::default();
            let read = Options::new("it", KNOWN).read(options, &mut errors);
            match read.value("span") {
                Some(Value::Range(from, to)) => Some((*from, *to)),
                _ => None,
            }
        };
        assert_eq!(span(quote!(span = 3)), Some((3, 3)));
        assert_eq!(span(quote!(span = 2..=16)), Some((2, 16)));
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        assert_eq!(
            sentences(quote!(sise = 4)),
            ["`#[it]` has no option `sise`: it has `size = 4`, `span = 4`, `fast` and `name = \"x\"`"]
        );
        assert_eq!(sentences(quote!(fast, size = 1, fast)), ["`fast` is given twice: leave one of them out"]);
        assert_eq!(sentences(quote!(fast = true)), ["`fast` takes no value: write `fast`"]);
        let number = ["`size` takes a whole number, 1 or more: write `size = 4`"];
        for wrong in [quote!(size = 0), quote!(size = "4"), quote!(size = -4), quote!(size(4)), quote!(size)] {
            assert_eq!(sentences(wrong), number);
        }
        let span = ["`span` takes a whole number, 1 or more, or a range like 2..=16: write `span = 4`"];
        for wrong in
            [quote!(span = 2..4), quote!(span = 0..=4), quote!(span = 4..=2), quote!(span = ..=2), quote!(span = "4")]
        {
            assert_eq!(sentences(wrong), span);
        }
        let text = ["`name` takes a text in quotes, and not an empty one: write `name = \"x\"`"];
        for wrong in [quote!(name = ""), quote!(name = x), quote!(name = 4)] {
            assert_eq!(sentences(wrong), text);
        }
        let form = ["options are written `size = 4`, `span = 4`, `fast` and `name = \"x\"`, with commas between them"];
        for wrong in [quote!("x"), quote!(size = 4 fast), quote!(size: 4)] {
            assert_eq!(sentences(wrong), form);
        }
    }

    #[test]
    fn two_mistakes_are_two_sentences() {
        assert_eq!(sentences(quote!(size = 0, slow)).len(), 2);
    }
}
