//! A job, from the signature of what does it: what a stage's function, or its `run`, takes and returns.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, GenericParam, Generics, PatType, ReturnType, Safety, Signature, Type, parse_quote};

use super::{at, own};
use crate::errors::Errors;
use crate::types::{borrows, is_unnamed, last_name, of_batch, peeled, written};

/// What a job takes and returns. Where the signature names no type that can stand, another stands in with which a
/// pipeline still type-checks.
pub(super) struct Job {
    input: Type,
    takes: Takes,
    out: Type,
}

/// What the function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Input,
    InputAndContext,
    /// Several jobs at once.
    Batch,
}

impl Job {
    pub(super) fn check(signature: &Signature, is_batch: bool, errors: &mut Errors) -> Self {
        check_plain(signature, errors);
        let mut job = Self::unknown();
        if !signature.generics.params.is_empty() {
            refuse_generics(signature, errors);
            return job;
        }
        let arguments: Vec<_> = signature.inputs.iter().filter_map(typed).collect();
        if is_batch || takes_batch(signature, &arguments) {
            job.takes = Takes::Batch;
            if let Some([input, out]) = check_batch(signature, &arguments, is_batch, errors) {
                (job.input, job.out) = (input, out);
            }
            return job;
        }
        if arguments.len() > 1 {
            job.takes = Takes::InputAndContext;
        }
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
            takes: Takes::Input,
            out: parse_quote!(::prime_server::__private::Unknown),
        }
    }

    /// Whether it takes several at once.
    pub(super) fn is_batch(&self) -> bool {
        self.takes == Takes::Batch
    }

    /// `impl Run`, or `impl BatchStage`, with what `call` makes of the arguments as its body, and with `others` beside that.
    pub(super) fn implement(
        &self,
        cfgs: &[&Attribute],
        generics: &Generics,
        stage: &TokenStream,
        call: impl FnOnce(TokenStream) -> TokenStream,
        others: &TokenStream,
    ) -> TokenStream {
        let Self { input, takes, out } = self;
        let (job, cx) = (own("job"), own("cx"));
        let (takes_one, does) = (quote!(#job: Self::In), quote!(-> Self::Out));
        let (of, run, arguments) = match takes {
            Takes::Input => {
                (quote!(Run), quote!(run(&mut self, #takes_one, _: &::prime_server::Context) #does), quote!(#job))
            }
            Takes::InputAndContext => (
                quote!(Run),
                quote!(run(&mut self, #takes_one, #cx: &::prime_server::Context) #does),
                quote!(#job, #cx),
            ),
            Takes::Batch => {
                let batch = quote!(#job: ::prime_server::Batch<Self::In, Self::Out>);
                (quote!(BatchStage), quote!(run_batch(&mut self, #batch)), quote!(#job))
            }
        };
        let body = call(arguments);
        // Shown where the user names the types, if they are less visible than the stage.
        let input = quote_spanned!(at(input.span())=> type In = #input;);
        let out = quote_spanned!(at(out.span())=> type Out = #out;);
        let (parameters, _, bounds) = generics.split_for_impl();
        quote! {
            #(#cfgs)*
            #[automatically_derived]
            impl #parameters ::prime_server::#of for #stage #bounds {
                #input
                #out

                fn #run {
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

/// Whether it looks like a stage that takes several jobs at once: a message may be called `Batch` too, but then something is returned.
fn takes_batch(signature: &Signature, arguments: &[&PatType]) -> bool {
    let returns_nothing = matches!(signature.output, ReturnType::Default);
    returns_nothing && arguments.first().is_some_and(|argument| of_batch(&argument.ty).is_some())
}

/// What each job takes and comes to, of a function that takes several.
fn check_batch(
    signature: &Signature,
    arguments: &[&PatType],
    is_batch: bool,
    errors: &mut Errors,
) -> Option<[Type; 2]> {
    let name = &signature.ident;
    let receiver = signature.receiver().map_or("", |_| "&mut self, ");
    let Some((argument, rest)) = arguments.split_first() else {
        let sentence =
            format!("a stage with `batch` takes its jobs: write `fn {name}({receiver}jobs: Batch<In, Out>)`");
        errors.add(Error::new(signature.paren_token.span.join(), sentence));
        return None;
    };
    let Some(types) = of_batch(&argument.ty) else {
        let sentence = format!(
            "a stage with `batch` takes several jobs at once: write `fn {name}({receiver}jobs: Batch<In, Out>)`, with what \
             a job takes and what it comes to, or leave `batch` out"
        );
        errors.push(&argument.ty, sentence);
        return None;
    };
    if !is_batch {
        let sentence = "nothing says how many jobs the stage takes at once: write `#[stage(batch = 32)]`";
        errors.push(&argument.ty, sentence);
    }
    if !rest.is_empty() {
        let sentence = "a stage with `batch` takes its jobs and no more: the context of each is its `cx`";
        errors.push(quote!(#(#rest),*), sentence);
    }
    if let ReturnType::Type(_, out) = &signature.output {
        let sentence = "a stage with `batch` returns nothing: what a job comes to is sent with its `reply`, as the second \
             type of `Batch<In, Out>`";
        errors.push(out, sentence);
    }
    if let Some(unnamed) = types.into_iter().find(|of| is_unnamed(of)) {
        errors.push(unnamed, "a stage names the types of its jobs: write them out");
        return None;
    }
    if let Some(borrowed) = types.into_iter().find(|of| borrows(of)) {
        errors.push(
            borrowed,
            "a stage owns what its jobs take and come to: write types without references and lifetimes",
        );
        return None;
    }
    Some(types.map(Clone::clone))
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
        let job = Job::check(&signature, false, &mut errors);
        (job, errors.sentences())
    }

    #[test]
    fn what_a_job_takes_and_returns_is_what_the_signature_says() {
        let (job, errors) =
            check(parse_quote!(fn f(Candidate(n): Candidate, cx: &prime_server::Context) -> Json<bool>));
        assert!(errors.is_empty());
        assert_eq!(job.takes, Takes::InputAndContext);
        assert_eq!((written(&job.input), written(&job.out)), ("Candidate".into(), "Json<bool>".into()));
        let (job, errors) = check(parse_quote!(fn run(&mut self, request: Request) -> Cow<'static, str>));
        assert!(errors.is_empty());
        assert_eq!(job.takes, Takes::Input);
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
    fn the_types_of_a_batch_are_those_of_its_jobs() {
        let mut errors = Errors::default();
        let taken = parse_quote!(fn f(jobs: prime_server::Batch<Candidate, Result<Json<bool>, StatusCode>>));
        let job = Job::check(&taken, true, &mut errors);
        assert!(errors.is_empty());
        assert_eq!(job.takes, Takes::Batch);
        assert_eq!(
            (written(&job.input), written(&job.out)),
            ("Candidate".into(), "Result<Json<bool>, StatusCode>".into())
        );
        let (job, errors) = check(parse_quote!(fn f(jobs: Batch<Candidate, u8>)));
        assert_eq!((job.takes, errors.len()), (Takes::Batch, 1), "nothing says how many");
        let (job, errors) = check(parse_quote!(fn f(message: Batch<Candidate, u8>) -> String));
        assert_eq!((job.takes, errors.len()), (Takes::Input, 0), "a message may be called so too");
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
