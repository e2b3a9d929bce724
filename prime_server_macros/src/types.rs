//! Questions about types as they are written: all that a macro knows of them.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{GenericArgument, Ident, PathArguments, Type};

/// The type without parentheses, and without the invisible group that a `$t:ty` of `macro_rules!` comes in.
pub(crate) fn peeled(mut of: &Type) -> &Type {
    loop {
        of = match of {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return of,
        };
    }
}

/// The last name of a type's path: `Context` of `prime_server::Context`.
pub(crate) fn last_name(of: &Type) -> Option<&Ident> {
    match peeled(of) {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

/// The two types of a `Batch<In, Out>`.
pub(crate) fn of_batch(of: &Type) -> Option<[&Type; 2]> {
    let Type::Path(path) = peeled(of) else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Batch")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let types: Option<Vec<_>> = arguments
        .args
        .iter()
        .map(|argument| match argument {
            GenericArgument::Type(of) => Some(of),
            _ => None,
        })
        .collect();
    types?.try_into().ok()
}

/// Whether the type borrows what may end before it: a reference or a lifetime in it is not `'static`.
pub(crate) fn borrows(of: &Type) -> bool {
    let tokens = flat(of);
    let next = |at: usize| tokens.get(at + 1);
    tokens.iter().enumerate().any(|(at, token)| match punctuation(token) {
        Some('&') => next(at).and_then(punctuation) != Some('\''),
        Some('\'') => !next(at).is_some_and(|name| is_ident(name, "static")),
        _ => false,
    })
}

/// Whether the type says `impl`, and so leaves itself unnamed.
pub(crate) fn is_unnamed(of: &Type) -> bool {
    flat(of).iter().any(|token| is_ident(token, "impl"))
}

/// Where the type mentions one that is in scope by this name. In `v1::Tree`, `Tree` is another.
pub(crate) fn mention(of: &Type, name: &Ident) -> Option<Span> {
    let tokens = flat(of);
    let mentions = |(at, token): &(usize, &TokenTree)| {
        let qualified = at.checked_sub(1).is_some_and(|before| punctuation(&tokens[before]) == Some(':'));
        !qualified && (is_ident(token, "Self") || matches!(token, TokenTree::Ident(ident) if ident == name))
    };
    tokens.iter().enumerate().find(mentions).map(|(_, token)| token.span())
}

/// The type as one would write it, for messages.
pub(crate) fn written(of: &Type) -> String {
    let tokens = of.to_token_stream().to_string();
    tokens.replace(" :: ", "::").replace(" < ", "<").replace(" >", ">").replace(" ,", ",").replace("& ", "&")
}

fn punctuation(token: &TokenTree) -> Option<char> {
    match token {
        TokenTree::Punct(punct) => Some(punct.as_char()),
        _ => None,
    }
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

/// The type's tokens with those inside brackets among them.
fn flat(of: &Type) -> Vec<TokenTree> {
    fn flatten(tokens: TokenStream, into: &mut Vec<TokenTree>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => flatten(group.stream(), into),
                token => into.push(token),
            }
        }
    }
    let mut tokens = Vec::new();
    flatten(of.to_token_stream(), &mut tokens);
    tokens
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn borrows_are_found_wherever_they_are() {
        let borrowed: [Type; 5] = [
            parse_quote!(&str),
            parse_quote!(Option<&'a u8>),
            parse_quote!((u8, [&u8; 2])),
            parse_quote!(Cow<'_, str>),
            parse_quote!(&mut T),
        ];
        assert!(borrowed.iter().all(borrows));
        let owned: [Type; 4] =
            [parse_quote!(String), parse_quote!(&'static str), parse_quote!(Cow<'static, str>), parse_quote!((u8, u8))];
        assert!(!owned.iter().any(borrows));
    }

    #[test]
    fn a_type_mentions_itself_but_not_a_namesake() {
        let tree = parse_quote!(Tree);
        let itself: [Type; 3] = [parse_quote!(Vec<Tree>), parse_quote!(Option<Box<Self>>), parse_quote!((u8, Tree))];
        assert!(itself.iter().all(|of| mention(of, &tree).is_some()));
        let others: [Type; 2] = [parse_quote!(Vec<v1::Tree>), parse_quote!(TreeNode)];
        assert!(others.iter().all(|of| mention(of, &tree).is_none()));
    }

    #[test]
    fn types_are_written_without_stray_spaces() {
        for text in ["Candidate", "std::vec::Vec<u8>", "HashMap<String, Vec<u8>>", "(u8, u16)"] {
            assert_eq!(written(&syn::parse_str(text).unwrap()), text);
        }
    }
}
