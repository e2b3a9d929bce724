//! `#[stage]` and `#[derive(Stage)]`: one file for each place where a stage may be declared.

mod block;
mod function;
mod job;
mod options;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, DeriveInput, Generics, Ident, Item, parse_quote};

use self::options::StageOptions;
use crate::errors::Errors;
use crate::options::refuse_inside;

/// The attribute: the item as it was, and the impls that make a stage of it.
pub(crate) fn expand(options: TokenStream, item: TokenStream, errors: &mut Errors) -> TokenStream {
    let options = StageOptions::read(options, errors);
    match syn::parse2(item.clone()) {
        Ok(Item::Fn(function)) => {
            let stage = function::expand(&options, &function, errors);
            quote!(#item #stage)
        }
        Ok(Item::Impl(block)) => {
            let stage = block::expand(&options, &block, errors);
            // Clippy's advice to a `new` without arguments is `Default`, which is the other way to construct a stage.
            quote!(#[allow(clippy::new_without_default)] #item #stage)
        }
        Ok(other) => {
            refuse(&other, errors);
            item
        }
        Err(error) => {
            errors.add(error);
            item
        }
    }
}

/// Says where the attribute may stand, for it does not stand there.
fn refuse(item: &Item, errors: &mut Errors) {
    let (keyword, name): (&dyn ToTokens, _) = match item {
        Item::Struct(of) => (&of.struct_token, &of.ident),
        Item::Enum(of) => (&of.enum_token, &of.ident),
        other => return errors.push(other, "`#[stage]` stands on a function or on a type's `impl` block"),
    };
    let sentence = format!(
        "`#[stage]` stands on a function or on `impl {name} {{ fn run ... }}`; \
         where you write `impl Run for {name}`, put `#[derive(Stage)]` on `{name}`"
    );
    errors.push(quote!(#keyword #name), sentence);
}

/// Whether another `#[stage]` follows, which makes the same stage again.
fn is_repeated(attributes: &[Attribute], errors: &mut Errors) -> bool {
    let is_stage = |attribute: &&Attribute| attribute.path().segments.last().is_some_and(|last| last.ident == "stage");
    let other = attributes.iter().find(is_stage);
    if let Some(other) = other {
        errors.push(other, "an item is made a stage once: write all options into one `#[stage(...)]`");
    }
    other.is_some()
}

/// The derive: `impl Stage` alone.
pub(crate) fn derive(item: &DeriveInput, errors: &mut Errors) -> TokenStream {
    let options = StageOptions::read_attributes(&item.attrs, errors);
    refuse_inside(&item.data, "stage", errors);
    let DeriveInput { ident, generics, .. } = item;
    let mut generics = generics.clone();
    // Which parameters make the type a stage only its `impl Run` knows.
    if !generics.params.is_empty() {
        generics.make_where_clause().predicates.push(parse_quote!(Self: ::prime_server::Run));
    }
    let types = item.generics.split_for_impl().1;
    declare(&options, &[], &generics, &quote!(#ident #types), ident)
}

/// `impl Stage` for the type, called as the options say or else by its own name.
fn declare(
    options: &StageOptions,
    cfgs: &[&Attribute],
    generics: &Generics,
    stage: &TokenStream,
    ident: &Ident,
) -> TokenStream {
    let name = options.name().unwrap_or_else(|| ident.unraw().to_string());
    let defaults = options.defaults();
    let (parameters, _, bounds) = generics.split_for_impl();
    quote! {
        #(#cfgs)*
        #[automatically_derived]
        impl #parameters ::prime_server::Stage for #stage #bounds {
            const NAME: &'static str = #name;
            #defaults
        }
    }
}

/// `impl Construct`, with this as what makes the stage. It stands at the user's constructor, where the message that
/// there are two is to point.
fn construct(
    constructor: Span,
    cfgs: &[&Attribute],
    generics: &Generics,
    stage: &TokenStream,
    made: &TokenStream,
) -> TokenStream {
    let (parameters, _, bounds) = generics.split_for_impl();
    let place = at(constructor);
    let stage = stage.clone().into_iter().map(|mut token| {
        token.set_span(place.resolved_at(token.span()));
        token
    });
    quote_spanned! {place=>
        #(#cfgs)*
        #[automatically_derived]
        impl #parameters ::prime_server::Construct for #(#stage)* #bounds {
            fn create() -> ::core::result::Result<Self, ::prime_server::StartError> {
                #made
            }
        }
    }
}

/// The body of a function that nobody calls if there are errors: what it would call may not be as the call takes it.
fn unless(errors: &Errors, body: TokenStream) -> TokenStream {
    if errors.is_empty() { body } else { quote!(::core::unreachable!()) }
}

/// The conditions under which an item exists, and so whatever is made from it.
fn cfgs(attributes: &[Attribute]) -> Vec<&Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect()
}

/// The place of the user's, for tokens that are the macro's: messages point there, and the user's lints leave them
/// alone.
fn at(place: Span) -> Span {
    Span::call_site().located_at(place)
}

/// A name of the macro's own, which meets none of the user's.
fn own(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
