//! `#[stage]` on an `impl` block: its type is the stage, its `run`, `new`, `reset` and `affinity` are what the stage does.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, ImplItem, ImplItemFn, ItemImpl, Receiver, ReceiverKind, ReturnType, Signature, Type};

use super::job::{Job, check_plain};
use super::options::StageOptions;
use super::{at, cfgs, construct, declare, is_repeated, unless};
use crate::errors::Errors;
use crate::types::{last_name, peeled, written};

pub(super) fn expand(options: &StageOptions, block: &ItemImpl, errors: &mut Errors) -> TokenStream {
    if is_repeated(&block.attrs, errors) {
        return TokenStream::new();
    }
    let of = &*block.self_ty;
    let Some(ident) = last_name(of) else {
        errors.push(of, "a stage is a type of yours: write `impl` with the name of a struct");
        return TokenStream::new();
    };
    if let Some((implemented, _)) = &block.trait_ {
        let of = written(of);
        let sentence = format!(
            "`#[stage]` stands on `impl {of} {{ fn run ... }}`; where you write `impl Run for {of}`, \
             put `#[derive(Stage)]` on `{ident}`"
        );
        errors.push(implemented, sentence);
        return TokenStream::new();
    }
    let stage = of.to_token_stream();
    let run = run(options, block, &stage, errors);
    let declared = declare(options, &cfgs(&block.attrs), &block.generics, &stage, ident);
    let new: TokenStream = methods(block, "new").map(|method| new(block, method, &stage, errors)).collect();
    quote!(#run #declared #new)
}

/// `impl Run`; one for each `run`, since `#[cfg]` may choose among several.
fn run(options: &StageOptions, block: &ItemImpl, stage: &TokenStream, errors: &mut Errors) -> TokenStream {
    let mut runs = Vec::new();
    for method in methods(block, "run") {
        check_run_receiver(&method.sig, errors);
        runs.push((method, Job::check(&method.sig, options.is_batch(), errors)));
    }
    let is_batch = runs.iter().any(|(_, job)| job.is_batch());
    let mut others: TokenStream = methods(block, "reset").map(|method| reset(method, errors)).collect();
    for method in methods(block, "affinity") {
        if is_batch {
            let sentence = "a stage with `batch` has no `affinity`: nobody chooses among its workers. Call this function something else";
            errors.push(&method.sig.ident, sentence);
        } else {
            others.extend(affinity(method, errors));
        }
    }
    if runs.is_empty() {
        let sentence = "a stage has a `run`: write `fn run(&mut self, request: Request) -> String` into this block, \
             with the type that the stage takes and the one that it returns";
        errors.push(&block.self_ty, sentence);
        let unreachable = |_| unless(errors, TokenStream::new());
        return Job::unknown().implement(&cfgs(&block.attrs), &block.generics, stage, unreachable, &others);
    }
    let implement = |(method, job): &(&ImplItemFn, Job)| {
        let call = |arguments| unless(errors, quote!(Self::run(self, #arguments)));
        job.implement(&conditions(block, method), &block.generics, stage, call, &others)
    };
    runs.iter().map(implement).collect()
}

fn check_run_receiver(run: &Signature, errors: &mut Errors) {
    let sentence = "a worker keeps its stage from job to job: write `&mut self`";
    match run.receiver() {
        Some(receiver) if is_borrowed(receiver) => {}
        Some(receiver) => errors.push(receiver, sentence),
        None => errors.push(&run.ident, "`run` belongs to a worker's stage: write `fn run(&mut self, ...)`"),
    }
}

/// `Run::reset`, which hands on to the method of that name.
fn reset(method: &ImplItemFn, errors: &mut Errors) -> TokenStream {
    let signature = &method.sig;
    check_plain(signature, errors);
    let plain = signature.inputs.len() == 1
        && signature.receiver().is_some_and(is_borrowed)
        && matches!(signature.output, ReturnType::Default);
    if !plain {
        let sentence =
            "`reset` is called after each job: write `fn reset(&mut self)`, or call this function something else";
        errors.push(signature, sentence);
    }
    let cfgs = cfgs(&method.attrs);
    let body = unless(errors, quote!(Self::reset(self)));
    quote! {
        #(#cfgs)*
        fn reset(&mut self) {
            #body
        }
    }
}

/// `Run::affinity`, which hands on to the method of that name.
fn affinity(method: &ImplItemFn, errors: &mut Errors) -> TokenStream {
    let signature = &method.sig;
    check_plain(signature, errors);
    let returns = match &signature.output {
        ReturnType::Type(_, returns) if signature.inputs.len() == 1 && signature.receiver().is_some_and(is_shared) => {
            returns.span()
        }
        _ => {
            let sentence = "`affinity` says what a worker is good at: write `fn affinity(&self) -> String`, or with another type that \
                 an `Affinity` is made of, or call this function something else";
            errors.push(signature, sentence);
            signature.ident.span()
        }
    };
    let cfgs = cfgs(&method.attrs);
    let body = unless(errors, quote_spanned!(at(returns)=> ::core::convert::Into::into(Self::affinity(self))));
    quote! {
        #(#cfgs)*
        fn affinity(&self) -> ::prime_server::Affinity {
            #body
        }
    }
}

/// `impl Construct` by `new`, if it can be called without arguments.
fn new(block: &ItemImpl, method: &ImplItemFn, stage: &TokenStream, errors: &mut Errors) -> TokenStream {
    let signature = &method.sig;
    if let Some(receiver) = signature.receiver() {
        errors.push(receiver, "`new` makes the stage, so there is no `self` yet: write `fn new() -> Self`");
    } else if !signature.inputs.is_empty() || !signature.generics.params.is_empty() {
        return TokenStream::new();
    }
    check_plain(signature, errors);
    let returns = match &signature.output {
        ReturnType::Type(_, returns) => returns.span(),
        ReturnType::Default => {
            errors.push(&signature.ident, "`new` makes the stage: write `fn new() -> Self`, or `-> Result<Self, E>`");
            signature.ident.span()
        }
    };
    let made = unless(errors, quote_spanned!(at(returns)=> ::prime_server::__private::Made::<Self>::made(Self::new())));
    construct(signature.ident.span(), &conditions(block, method), &block.generics, stage, &made)
}

fn methods<'a>(block: &'a ItemImpl, name: &str) -> impl Iterator<Item = &'a ImplItemFn> {
    block.items.iter().filter_map(move |item| match item {
        ImplItem::Fn(method) if method.sig.ident == name => Some(method),
        _ => None,
    })
}

/// The conditions under which a method exists.
fn conditions<'a>(block: &'a ItemImpl, method: &'a ImplItemFn) -> Vec<&'a Attribute> {
    let mut conditions = cfgs(&block.attrs);
    conditions.extend(cfgs(&method.attrs));
    conditions
}

fn is_shared(receiver: &Receiver) -> bool {
    match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => mutability.is_none(),
        ReceiverKind::Typed(_, of) => matches!(peeled(of), Type::Reference(of) if of.mutability.is_none()),
        _ => false,
    }
}

fn is_borrowed(receiver: &Receiver) -> bool {
    match &receiver.kind {
        ReceiverKind::Reference(..) => true,
        ReceiverKind::Typed(_, of) => matches!(peeled(of), Type::Reference(_)),
        _ => false,
    }
}
