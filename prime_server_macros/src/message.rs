//! `#[derive(Message)]`: a message's schema, and its codec.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Data, DeriveInput, TypeParamBound, parse_quote};

use crate::errors::Errors;
use crate::options::{Kind, Known, Options, Value, refuse_inside};
use crate::schema;

const KNOWN: &[Known] = &[
    Known { key: "json", kind: Kind::Flag, example: "json" },
    Known { key: "schema", kind: Kind::Number(0), example: "schema = 7" },
];

/// The options of `#[message]`, which both derives read.
pub(crate) struct MessageOptions<'a> {
    pub(crate) json: bool,
    /// The schema's number, where it is set by hand.
    pub(crate) schema: Option<u64>,
    /// Where the options stand.
    pub(crate) at: Option<&'a Attribute>,
}

impl<'a> MessageOptions<'a> {
    pub(crate) fn read(item: &'a DeriveInput, errors: &mut Errors) -> Self {
        let options = Options::new("message", KNOWN).read_attributes(&item.attrs, errors);
        refuse_inside(&item.data, "message", errors);
        let schema = match options.value("schema") {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        };
        let at = item.attrs.iter().find(|attribute| attribute.path().is_ident("message"));
        Self { json: options.value("json").is_some(), schema, at }
    }
}

/// `impl Schema` and `impl Message`.
pub(crate) fn derive(item: &DeriveInput, errors: &mut Errors) -> TokenStream {
    let mut options = MessageOptions::read(item, errors);
    if let Some(lifetime) = item.generics.lifetimes().next() {
        let sentence = "a message owns what it carries, for it outlives the stage that made it: \
             leave the lifetime out, and write `String` instead of `&str`, `Vec<u8>` instead of `&[u8]`";
        errors.push(lifetime, sentence);
        // What it borrows has no schema either, and that has just been said.
        options.schema.get_or_insert(0);
        return schema::implement(item, &options, errors);
    }
    let schema = schema::implement(item, &options, errors);
    let message = implement(item, &options);
    quote!(#schema #message)
}

fn implement(item: &DeriveInput, options: &MessageOptions<'_>) -> TokenStream {
    let DeriveInput { ident, generics, .. } = item;
    let codec = if options.json { "json" } else { "postcard" };
    let (to, from) = (format_ident!("to_{codec}"), format_ident!("from_{codec}"));
    // serde's own derive has already said what is wrong with a union.
    let (encode, decode) = match item.data {
        Data::Union(_) => (quote!(::core::unreachable!()), quote!(::core::unreachable!())),
        _ => (quote!(::prime_server::__private::#to(self)), quote!(::prime_server::__private::#from(&frame))),
    };
    let mut bounded = generics.clone();
    for parameter in bounded.type_params_mut() {
        parameter.bounds.extend::<[TypeParamBound; 5]>([
            parse_quote!(::prime_server::Schema),
            parse_quote!(::prime_server::__private::Serialize),
            parse_quote!(::prime_server::__private::DeserializeOwned),
            parse_quote!(::core::marker::Send),
            parse_quote!('static),
        ]);
    }
    let (parameters, _, bounds) = bounded.split_for_impl();
    let types = generics.split_for_impl().1;
    let bytes = quote!(::prime_server::__private::Bytes);
    quote! {
        #[automatically_derived]
        impl #parameters ::prime_server::Message for #ident #types #bounds {
            fn encode(&self) -> ::core::result::Result<#bytes, ::prime_server::CodecError> {
                #encode
            }

            fn decode(frame: #bytes) -> ::core::result::Result<Self, ::prime_server::CodecError> {
                #decode
            }
        }
    }
}
