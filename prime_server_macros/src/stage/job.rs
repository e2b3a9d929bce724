//! A job, from the signature of what does it: what a stage's function, or its `run`, takes and returns.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, GenericParam, Generics, PatType, ReturnType, Safety, Signature, Type, parse_quote};

use super::{at, own};
use crate::errors::Errors;
use crate::types::{borrows, is_unnamed, last_name, peeled, written};

/// What a job takes and returns. Where the signature names no type that can stand, another stands in with which a
/// pipeline still type-checks.
pub(super) struct Job {
    input: Type,
    takes_context: bool,
    out: Type,
}

impl Job {
    pub(super) fn check(signature: &Signature, errors: &mut Errors) -> Self {
        check_plain(signature, errors);
        let mut job = Self::unknown();
        if !signature.generics.params.is_empty() {
            refuse_generics(signature, errors);
            return job;
        }
        let arguments: Vec<_> = signature.inputs.iter().filter_map(typed).collect();
        job.takes_context = arguments.len() > 1;
        if let Some(input) = check_input(signature, &arguments, errors) {
            job.input = input;
        }
        check_rest(&arguments, errors);
        if let Some(out) = check_out(signature, errors) {
            job.out = out;
        }
        job
    }

    /// The job of a stage of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            input: parse_quote!(::prime_server::Request),
            takes_context: false,
            out: parse_quote!(::prime_server::__private::Unknown),
        }
    }

    /// `impl Run`, with what `call` makes of the arguments as the body of its `run`, and with `others` beside that.
    pub(super) fn implement(
        &self,
        cfgs: &[&Attribute],
        generics: &Generics,
        stage: &TokenStream,
        call: impl FnOnce(TokenStream) -> TokenStream,
        others: &TokenStream,
    ) -> TokenStream {
        let Self { input, out, .. } = self;
        let (job, cx) = (own("job"), own("cx"));
        let (cx, arguments) =
            if self.takes_context { (quote!(#cx), quote!(#job, #cx)) } else { (quote!(_), quote!(#job)) };
        let body = call(arguments);
        // Shown where the user names the types, if they are less visible than the stage.
        let input = quote_spanned!(at(input.span())=> type In = #input;);
        let out = quote_spanned!(at(out.span())=> type Out = #out;);
        let (parameters, _, bounds) = generics.split_for_impl();
        quote! {
            #(#cfgs)*
            #[automatically_derived]
            impl #parameters ::prime_server::Run for #stage #bounds {
                #input
                #out

                fn run(&mut self, #job: Self::In, #cx: &::prime_server::Context) -> Self::Out {
                    #body
                }

                #others
            }
        }
    }
}

/// What holds for every function that a worker calls.
pub(super) fn check_plain(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    if let Some(asyncness) = &signature.asyncness {
        let why = "its worker has a thread of its own, which may block";
        errors.push(asyncness, format!("a stage is not `async`, since {why}: write `fn {name}`"));
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        let why = "any request may reach it";
        errors.push(
            unsafety,
            format!("a stage is safe to call, since {why}: write `fn {name}`, with the `unsafe` inside"),
        );
    }
    if let Some(abi) = &signature.abi {
        errors.push(abi, format!("a stage is a plain Rust function: write `fn {name}`"));
    }
}

fn refuse_generics(signature: &Signature, errors: &mut Errors) {
    let only_lifetimes = signature.generics.params.iter().all(|param| matches!(param, GenericParam::Lifetime(_)));
    let sentence = if only_lifetimes {
        "a stage owns what it takes and returns: leave the lifetimes out, and write types without references"
    } else if signature.receiver().is_some() {
        "the stage is generic, not its `run`: move the parameters to the `impl` block and its type"
    } else {
        "a function makes one stage, of one type: write types in the place of the parameters, \
         or a generic struct with `impl Run` and `#[derive(Stage)]`"
    };
    errors.push(&signature.generics, sentence);
}

fn check_input(signature: &Signature, arguments: &[&PatType], errors: &mut Errors) -> Option<Type> {
    let name = &signature.ident;
    let receiver = signature.receiver().map_or("", |_| "&mut self, ");
    let Some(argument) = arguments.first() else {
        let sentence = format!(
            "a stage takes an input: write `fn {name}({receiver}request: Request)` if it is the first of its pipeline, \
             else the message that the stage before it returns"
        );
        errors.add(Error::new(signature.paren_token.span.join(), sentence));
        return None;
    };
    let input = &*argument.ty;
    if is_context(referent(input)) {
        let sentence = format!(
            "a stage takes its input first, then its context: \
             write `fn {name}({receiver}request: Request, cx: &Context)`"
        );
        errors.push(input, sentence);
        return arguments.get(1).map(|second| (*second.ty).clone());
    }
    if let Type::Reference(reference) = peeled(input) {
        let whole = last_name(&reference.elem).filter(|name| *name != "str").map(|_| (*reference.elem).clone());
        let instead = match &whole {
            Some(whole) => format!("write `{}`", written(whole)),
            None => "write `Request`, or the message that the stage before it returns".to_owned(),
        };
        errors.push(input, format!("a stage takes its input by value: {instead}"));
        return whole;
    }
    if is_unnamed(input) {
        errors.push(input, "a stage names the type that it takes: write `Request`, or the type of a message");
        return None;
    }
    if borrows(input) {
        errors.push(input, "a stage owns its input: write a type without references and lifetimes");
        return None;
    }
    Some(input.clone())
}

/// The second argument, and those that are too many.
fn check_rest(arguments: &[&PatType], errors: &mut Errors) {
    let [input, context, rest @ ..] = arguments else { return };
    if !rest.is_empty() {
        let sentence = "a stage takes its input and `cx: &Context`, no more: put what else it needs into the input's \
             type, or, in an `impl` stage, into its struct";
        errors.push(quote!(#(#rest),*), sentence);
    }
    // Where the context stands first, that has been said.
    if is_context(referent(&input.ty)) {
        return;
    }
    match peeled(&context.ty) {
        Type::Reference(reference) if reference.mutability.is_none() && is_context(&reference.elem) => {}
        of if is_context(referent(of)) => errors.push(&context.ty, "a stage borrows its context: write `cx: &Context`"),
        of => {
            let sentence = "the second argument of a stage is its context: write `cx: &Context`, \
                 and put what else the stage needs into the type of its input";
            errors.push(of, sentence);
        }
    }
}

fn check_out(signature: &Signature, errors: &mut Errors) -> Option<Type> {
    let ReturnType::Type(_, out) = &signature.output else {
        let sentence = "a stage returns what the next stage takes, or an answer: \
             write `-> Candidate` with a message of yours, or `-> String`, `-> Json<T>`, `-> Response`";
        errors.push(&signature.ident, sentence);
        return None;
    };
    if is_unnamed(out) {
        let sentence =
            "a stage names the type that it returns: write it out, or write `-> Response` and `.into_response()`";
        errors.push(out, sentence);
        return None;
    }
    if borrows(out) {
        let sentence = "a stage owns what it returns: write `String` instead of `&str`, `Vec<u8>` instead of `&[u8]`, \
             or `&'static` where nothing is ever freed";
        errors.push(out, sentence);
        return None;
    }
    Some((**out).clone())
}

fn typed(argument: &FnArg) -> Option<&PatType> {
    match argument {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    }
}

fn is_context(of: &Type) -> bool {
    last_name(of).is_some_and(|name| name == "Context")
}

/// What a reference refers to; any other type itself.
fn referent(of: &Type) -> &Type {
    match peeled(of) {
        Type::Reference(reference) => &reference.elem,
        of => of,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(signature: Signature) -> (Job, Vec<String>) {
        let mut errors = Errors::default();
        let job = Job::check(&signature, &mut errors);
        (job, errors.sentences())
    }

    #[test]
    fn what_a_job_takes_and_returns_is_what_the_signature_says() {
        let (job, errors) =
            check(parse_quote!(fn f(Candidate(n): Candidate, cx: &prime_server::Context) -> Json<bool>));
        assert!(errors.is_empty());
        assert!(job.takes_context);
        assert_eq!((written(&job.input), written(&job.out)), ("Candidate".into(), "Json<bool>".into()));
        let (job, errors) = check(parse_quote!(fn run(&mut self, request: Request) -> Cow<'static, str>));
        assert!(errors.is_empty());
        assert!(!job.takes_context);
    }

    #[test]
    fn a_mistake_leaves_the_rest_of_the_signature_known() {
        let (job, errors) = check(parse_quote!(fn f(input: &Candidate) -> String));
        assert_eq!(errors, ["a stage takes its input by value: write `Candidate`"]);
        assert_eq!((written(&job.input), written(&job.out)), ("Candidate".into(), "String".into()));
        let (job, errors) = check(parse_quote!(fn f(cx: &Context, input: Candidate)));
        assert_eq!(errors.len(), 2);
        assert_eq!(written(&job.input), "Candidate");
    }

    #[test]
    fn independent_mistakes_are_all_told() {
        assert_eq!(
            check(parse_quote!(async unsafe extern "C" fn f(input: &str, cx: Context, more: u8) -> &str)).1.len(),
            7
        );
        assert_eq!(check(parse_quote!(fn f<'a>(input: &'a str) -> &'a str)).1.len(), 1);
    }
}
