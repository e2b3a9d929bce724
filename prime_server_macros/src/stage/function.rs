//! `#[stage]` on a function: a companion type of the function's name, which is the stage.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Generics, ItemFn};

use super::job::Job;
use super::options::StageOptions;
use super::{at, cfgs, construct, declare, is_repeated, unless};
use crate::errors::Errors;

pub(super) fn expand(options: &StageOptions, item: &ItemFn, errors: &mut Errors) -> TokenStream {
    if is_repeated(&item.attrs, errors) {
        return TokenStream::new();
    }
    let function = &item.sig.ident;
    if item.sig.receiver().is_some() {
        errors.push(function, "`#[stage]` stands on the whole `impl` block: move it from the function to the `impl`");
        // Inside an `impl` block no type can be declared.
        return TokenStream::new();
    }
    let job = Job::check(&item.sig, options.is_batch(), errors);

    let mut companion = function.clone();
    companion.set_span(at(function.span()));
    let (cfgs, generics, stage) = (cfgs(&item.attrs), Generics::default(), companion.to_token_stream());

    let call = |arguments| unless(errors, quote!(#function(#arguments)));
    let run = job.implement(&cfgs, &generics, &stage, call, &TokenStream::new());
    let declared = declare(options, &cfgs, &generics, &stage, function);
    let construct = construct(function.span(), &cfgs, &generics, &stage, &quote!(::core::result::Result::Ok(Self {})));
    let vis = &item.vis;
    let doc = format!("The stage that [`{0}`](fn@{0}) makes, for `.stage::<{0}>()`.", function.unraw());
    quote! {
        #(#cfgs)*
        #[doc = #doc]
        #[allow(missing_copy_implementations, missing_debug_implementations, non_camel_case_types)]
        #vis struct #companion {}

        #run
        #declared
        #construct
    }
}
