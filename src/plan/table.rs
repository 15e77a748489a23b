//! The macro behind every table of parameters: from one list of rows the struct, its defaults, the
//! rows as data, and reading and printing by name.
//!
//! ```text
//! parameters! {
//!     All;
//!     group: Group {
//!         field: Type = "default", "source";
//!     }
//! }
//! ```
//!
//! gives `struct All`, `struct Group`, `const TABLE` and `All::{default, set, get}`; each of `All`,
//! a group and a field begins with its line of documentation, which is the row's meaning.
//!
//! Source: ours.
//! Left out: rows that depend on each other.

macro_rules! parameters {
    ($(#[doc = $all_doc:literal])* $All:ident; $($(#[doc = $group_doc:literal])+ $group:ident: $Group:ident {
        $($(#[doc = $doc:literal])+ $field:ident: $ty:ty = $default:literal, $source:literal;)+
    })+) => {
        $($(#[doc = $group_doc])+
        #[derive(Clone, PartialEq, Debug)]
        pub struct $Group { $($(#[doc = $doc])+ pub $field: $ty,)+ })+

        $(#[doc = $all_doc])*
        #[derive(Clone, PartialEq, Debug)]
        pub struct $All { $($(#[doc = $group_doc])+ pub $group: $Group,)+ }

        /// The table, in the order of the struct.
        pub const TABLE: &[$crate::plan::parameter::Parameter] = &[$($($crate::plan::parameter::Parameter {
            name: concat!(stringify!($group), ".", stringify!($field)),
            kind: <$ty as $crate::plan::parameter::Value>::KIND,
            default: $default,
            meaning: concat!($($doc),+),
            source: $source,
        },)+)+];

        impl Default for $All {
            fn default() -> Self {
                Self { $($group: $Group { $(
                    $field: <$ty as $crate::plan::parameter::Value>::read($default).expect("the table's defaults read"),
                )+ },)+ }
            }
        }

        impl $All {
            /// Sets the parameter `name` from text. `None`: no such parameter.
            pub fn set(&mut self, name: &str, text: &str) -> Option<Result<(), String>> {
                $($(if name == concat!(stringify!($group), ".", stringify!($field)) {
                    return Some(<$ty as $crate::plan::parameter::Value>::read(text).map(|value| self.$group.$field = value));
                })+)+
                None
            }

            /// The value of the parameter `name` as text.
            pub fn get(&self, name: &str) -> Option<String> {
                $($(if name == concat!(stringify!($group), ".", stringify!($field)) {
                    return Some(<$ty as $crate::plan::parameter::Value>::text(&self.$group.$field));
                })+)+
                None
            }
        }
    };
}

pub(crate) use parameters;
