//! Schemas follow the shape of a type and nothing else; messages come back from the wire as they went.

#![allow(dead_code, non_snake_case, unreachable_pub, reason = "most types are only looked at")]

use prime_server::prelude::*;
use serde::{Deserialize, Serialize};
use ui::messages::{Area, Batch, Candidate, Corner, Kind, Nothing, Place, Tree, Wrapped};
use ui::shadowed::Shadow;

/// The schema of a type that is declared so; in a scope of its own, so that all may have one name.
macro_rules! schema {
    ($derive:ident: $(#[$attribute:meta])* $vis:vis $kind:ident Area $($rest:tt)*) => {{
        #[derive($derive, Serialize, Deserialize)]
        $(#[$attribute])*
        $vis $kind Area $($rest)*
        Area::SCHEMA
    }};
    ($($item:tt)*) => { schema! { Schema: $($item)* } };
}

fn all_differ(schemas: &[u64]) {
    for (at, schema) in schemas.iter().enumerate() {
        assert!(!schemas[..at].contains(schema), "number {at} is like one before it");
    }
}

#[test]
fn a_schema_changes_with_names_types_and_order() {
    let renamed = {
        #[derive(Schema)]
        struct Region {
            west: f64,
            east: f64,
        }
        Region::SCHEMA
    };
    all_differ(&[
        renamed,
        schema! { struct Area { west: f64, east: f64 } },
        schema! { struct Area { left: f64, east: f64 } },
        schema! { struct Area { east: f64, west: f64 } },
        schema! { struct Area { west: f32, east: f64 } },
        schema! { struct Area { west: f64 } },
        schema! { struct Area { west: f64, east: f64, north: f64 } },
        schema! { struct Area(f64, f64); },
        schema! { struct Area(f64); },
        schema! { struct Area; },
    ]);
}

#[test]
fn a_schema_changes_with_variants() {
    all_differ(&[
        schema! { enum Area { Land, Sea } },
        schema! { enum Area { Sea, Land } },
        schema! { enum Area { Land, Lake } },
        schema! { enum Area { Land, Sea(u8) } },
        schema! { enum Area { Land(u8), Sea } },
        schema! { enum Area { Land { Sea: u8 } } },
        schema! { enum Area { Land { sea: u8 } } },
        schema! { enum Area { Land } },
        schema! { struct Area { Land: u8 } },
    ]);
}

#[test]
fn a_schema_changes_with_a_nested_type() {
    let of_f64 = {
        #[derive(Schema)]
        struct Corner(f64);
        #[derive(Schema)]
        struct Area(Vec<Option<Corner>>);
        Area::SCHEMA
    };
    let of_f32 = {
        #[derive(Schema)]
        struct Corner(f32);
        #[derive(Schema)]
        struct Area(Vec<Option<Corner>>);
        Area::SCHEMA
    };
    assert_ne!(of_f64, of_f32);
    assert_ne!(<Batch<Candidate>>::SCHEMA, <Batch<Nothing>>::SCHEMA);
}

#[test]
fn a_schema_does_not_change_with_attributes_docs_and_visibility() {
    let plain = schema! { struct Area { west: f64, east: f64 } };
    assert_eq!(plain, schema! { pub struct Area { pub west: f64, pub(crate) east: f64 } });
    assert_eq!(
        plain,
        schema! {
            /// A part of the world.
            #[serde(deny_unknown_fields, rename_all = "UPPERCASE")]
            #[derive(Clone)]
            struct Area {
                /// Its western end.
                #[serde(default, rename = "left")]
                west: f64,
                #[cfg(not(any()))]
                east: f64,
                #[cfg(any())]
                north: f64,
            }
        }
    );
    assert_eq!(
        schema! { enum Area { Land, Sea(u8) } },
        schema! {
            pub enum Area {
                #[serde(rename = "land")]
                Land,
                /// Wet.
                Sea(u8),
            }
        }
    );
}

#[test]
fn the_codec_is_part_of_the_schema() {
    let postcard = schema! { Message: struct Area(f64); };
    assert_eq!(postcard, schema! { Schema: struct Area(f64); });
    assert_ne!(postcard, schema! { Message: #[message(json)] struct Area(f64); });
}

#[test]
fn a_schema_set_by_hand_is_that_number() {
    assert_eq!(Tree::SCHEMA, 7);
    assert_eq!(schema! { #[message(schema = 0)] struct Area(f64); }, 0);
    assert_eq!(schema! { Message: #[message(json, schema = 0xffff_ffff_ffff_ffff)] struct Area(f64); }, u64::MAX);
    assert_eq!(schema! { Message: #[message(json)] #[message(schema = 8)] struct Area(f64); }, 8);
}

#[test]
fn a_message_is_named_as_its_type() {
    assert_eq!(Candidate::NAME, "Candidate");
    assert_eq!(<Batch<Candidate>>::NAME, "Batch");
}

#[test]
fn messages_come_back_as_they_went() {
    fn there_and_back<M: Message + Clone + PartialEq + std::fmt::Debug>(message: M) {
        assert_eq!(M::decode(message.encode().unwrap()).unwrap(), message);
    }
    let corners = vec![Corner(5.5, 50.0), Corner(15.0, 55.0)];
    there_and_back(Candidate(7));
    there_and_back(Nothing);
    there_and_back(Kind::Sea(7));
    there_and_back(Kind::Island { tides: vec![Candidate(1), Candidate(2)] });
    there_and_back(Area {
        corners,
        r#type: Some(Kind::Land),
        names: [("de".to_owned(), (1, [Nothing; 2]))].into_iter().collect(),
    });
    there_and_back(Place { name: "here".to_owned(), at: Corner(1.0, 2.0) });
    there_and_back(Tree { branches: vec![Tree::default(), Tree { branches: vec![Tree::default()] }] });
    there_and_back(Batch::<Candidate, 2> { jobs: vec![Candidate(1)] });
    there_and_back(Wrapped(Kind::Land));
    there_and_back(Shadow { option: 1, value: 2_u16 });
}

#[test]
fn json_is_what_other_languages_read() {
    let place = Place { name: "here".to_owned(), at: Corner(1.0, 2.0) };
    assert_eq!(place.encode().unwrap(), r#"{"name":"here","at":[1.0,2.0]}"#);
}

#[test]
fn what_is_no_such_message_is_an_error_that_names_it() {
    let error = Candidate::decode(b"".to_vec().into()).unwrap_err();
    assert!(error.to_string().starts_with("message `Candidate` cannot be decoded: "), "{error}");
    let error = Place::decode(b"{}".to_vec().into()).unwrap_err();
    assert_eq!(error.to_string(), "message `Place` cannot be decoded: missing field `name` at line 1 column 2");
}
