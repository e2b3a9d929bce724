//! `#[derive(Schema)]`: a type's shape, as a constant made of its names and its fields' types.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Fields, Ident, Variant, parse_quote};

use crate::errors::Errors;
use crate::message::MessageOptions;
use crate::types::mention;

pub(crate) fn derive(item: &DeriveInput, errors: &mut Errors) -> TokenStream {
    let options = MessageOptions::read(item, errors);
    if options.json {
        let sentence = "`json` is for `#[derive(Message)]`: what only occurs inside a message is written \
             as the message is; leave it out";
        errors.push(options.at, sentence);
    }
    implement(item, &options, errors)
}

/// `impl Schema`.
pub(crate) fn implement(item: &DeriveInput, options: &MessageOptions, errors: &mut Errors) -> TokenStream {
    let DeriveInput { ident, generics, .. } = item;
    let name = ident.unraw().to_string();
    let number = match options.schema {
        Some(number) => {
            let number = Literal::u64_unsuffixed(number);
            quote!(#number)
        }
        None => {
            let parts = parts(item, errors);
            let codec = options.json.then(|| quote!(.name("json")));
            quote!(::prime_server::Shape::new(Self::NAME) #(#parts)* #codec .finish())
        }
    };
    let mut bounded = generics.clone();
    for parameter in bounded.type_params_mut() {
        parameter.bounds.push(parse_quote!(::prime_server::Schema));
    }
    let (parameters, _, bounds) = bounded.split_for_impl();
    let types = generics.split_for_impl().1;
    quote! {
        #[automatically_derived]
        impl #parameters ::prime_server::Schema for #ident #types #bounds {
            const NAME: &'static str = #name;
            const SCHEMA: u64 = #number;
        }
    }
}

/// What is added to the shape, in order, each a call.
fn parts(item: &DeriveInput, errors: &mut Errors) -> Vec<TokenStream> {
    match &item.data {
        Data::Struct(data) => fields(&data.fields, &item.ident, errors),
        Data::Enum(data) => {
            let variant = |variant: &Variant| {
                let name = variant.ident.unraw().to_string();
                // How many fields follow, so that a field is never taken for a variant.
                let count = Literal::usize_unsuffixed(variant.fields.len());
                let mut parts = vec![quote!(.name(#name).number(#count))];
                parts.extend(fields(&variant.fields, &item.ident, errors));
                parts
            };
            data.variants.iter().flat_map(variant).collect()
        }
        Data::Union(data) => {
            let sentence = "a union does not know which of its fields it holds: write an enum";
            errors.push(data.union_token, sentence);
            Vec::new()
        }
    }
}

fn fields(fields: &Fields, of: &Ident, errors: &mut Errors) -> Vec<TokenStream> {
    let mut parts = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let name = field.ident.as_ref().map_or_else(|| at.to_string(), |name| name.unraw().to_string());
        let field = &field.ty;
        match mention(field, of) {
            None => parts.push(quote!(.name(#name).of::<#field>())),
            Some(itself) => {
                let sentence = "a type that contains itself has no shape to compare: write `#[message(schema = 1)]` \
                     above it, and a new number with every change";
                errors.add(Error::new(itself, sentence));
                break;
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(item: DeriveInput) -> (String, Vec<String>) {
        let mut errors = Errors::default();
        let tokens = derive(&item, &mut errors);
        (dense(&tokens), errors.sentences())
    }

    fn dense(tokens: &TokenStream) -> String {
        tokens.to_string().replace(' ', "")
    }

    #[test]
    fn fields_are_named_in_order() {
        let (tokens, errors) = schema(parse_quote!(
            struct Area {
                #[serde(skip)]
                pub west: f64,
                r#in: Vec<u8>,
            }
        ));
        assert!(errors.is_empty());
        let shape = quote!(.name("west").of::<f64>().name("in").of::<Vec<u8>>().finish());
        assert!(tokens.contains(&dense(&shape)), "{tokens}");
    }

    #[test]
    fn variants_say_how_many_fields_follow() {
        let (tokens, _) = schema(parse_quote!(
            enum Shape {
                Point,
                Circle(f64),
            }
        ));
        let shape = quote!(.name("Point").number(0).name("Circle").number(1).name("0").of::<f64>());
        assert!(tokens.contains(&dense(&shape)), "{tokens}");
    }

    #[test]
    fn a_union_and_a_type_within_itself_have_none_but_by_hand() {
        assert_eq!(schema(parse_quote!(union Bits { a: u8, b: i8 })).1.len(), 1);
        assert_eq!(
            schema(parse_quote!(
                struct Tree {
                    left: Option<Box<Tree>>,
                    right: Option<Box<Tree>>,
                }
            ))
            .1
            .len(),
            1
        );
        assert!(
            schema(parse_quote!(
                #[message(schema = 1)]
                struct Tree(Vec<Tree>);
            ))
            .1
            .is_empty()
        );
    }
}
