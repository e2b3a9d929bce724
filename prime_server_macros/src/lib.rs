//! The attribute and derives of prime_server; documented where `prime_server` re-exports them.

use proc_macro::TokenStream;

/// Makes a stage of a function or of an `impl` block.
#[proc_macro_attribute]
pub fn stage(_options: TokenStream, item: TokenStream) -> TokenStream {
    item
}

/// Derives `Stage`.
#[proc_macro_derive(Stage, attributes(stage))]
pub fn derive_stage(_item: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// Derives `Message` and `Schema`.
#[proc_macro_derive(Message, attributes(message))]
pub fn derive_message(_item: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// Derives `Schema`.
#[proc_macro_derive(Schema, attributes(message))]
pub fn derive_schema(_item: TokenStream) -> TokenStream {
    TokenStream::new()
}
