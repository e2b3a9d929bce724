//! `#[derive(Routes)]`: where each variant of an enum goes.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Type, Variant};

use crate::errors::Errors;

/// A variant as it is resolved.
struct Route<'a> {
    variant: &'a Variant,
    /// What it holds.
    value: &'a Type,
    /// The stage that it leads to, if it is no answer.
    to: Option<Type>,
}

/// `impl Outcome`.
pub(crate) fn derive(item: &DeriveInput, errors: &mut Errors) -> TokenStream {
    let routes: Vec<Route<'_>> = match &item.data {
        Data::Enum(data) => data.variants.iter().filter_map(|variant| route(variant, errors)).collect(),
        _ => {
            let sentence = "`#[derive(Routes)]` stands on an enum: each variant says where what it holds goes";
            errors.push(&item.ident, sentence);
            Vec::new()
        }
    };
    let mut sent = Vec::new();
    let arms: Vec<TokenStream> = routes
        .iter()
        .map(|Route { variant, value, to }| {
            let name = &variant.ident;
            let step = match to {
                Some(stage) => {
                    let index = sent.len();
                    let place = value.span();
                    sent.push(quote_spanned!(place=> ::prime_server::RouteTo::stage::<#stage, #value>()));
                    quote_spanned!(place=> ::prime_server::Step::to::<#stage>(#index, value))
                }
                None => quote_spanned!(value.span()=> ::prime_server::__private::answer::<#value>(value)),
            };
            quote!(Self::#name(value) => #step)
        })
        .collect();
    let (ident, (parameters, types, bounds)) = (&item.ident, item.generics.split_for_impl());
    // With a mistake in the enum what it says of routes is not all there, and what is missing would be a second message.
    let (sent, body) = match errors.is_empty() {
        true => (sent, quote!(match self { #(#arms,)* })),
        false => (Vec::new(), quote!(::core::unreachable!())),
    };
    quote! {
        #[automatically_derived]
        impl #parameters ::prime_server::Outcome for #ident #types #bounds {
            const ROUTES: &'static [::prime_server::RouteTo] = &[#(#sent),*];

            fn resolve(self) -> ::prime_server::Step {
                #body
            }
        }
    }
}

fn route<'a>(variant: &'a Variant, errors: &mut Errors) -> Option<Route<'a>> {
    let name = &variant.ident;
    let mut to = None;
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("to")) {
        match attribute.parse_args::<Type>() {
            Ok(stage) if to.is_none() => to = Some(stage),
            Ok(_) => errors.push(attribute, "a variant goes to one stage: make a variant of each"),
            Err(_) => errors.push(attribute, "write `#[to(stage)]`, with the stage that this goes to"),
        }
    }
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            let field = &fields.unnamed[0];
            if let Some(attribute) = field.attrs.iter().find(|attribute| attribute.path().is_ident("to")) {
                errors.push(attribute, format!("`#[to(...)]` stands before the variant `{name}`, not in it"));
                return None;
            }
            Some(Route { variant, value: &field.ty, to })
        }
        Fields::Unit => {
            let sentence = format!(
                "a variant holds what is sent: write `{name}(...)`, with what the stage takes, or with an answer such as \
                 `StatusCode`"
            );
            errors.push(variant, sentence);
            None
        }
        _ => {
            errors.push(
                variant,
                format!("a variant holds one value: make a message of these, and write `{name}(Message)`"),
            );
            None
        }
    }
}
