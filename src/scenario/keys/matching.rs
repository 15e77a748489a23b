//! Keys of what a route matches, and of what it changes.
//!
//! Source: Istio's `HTTPMatchRequest` and Envoy's `RouteMatch`; as in [`super`].
//! Left out: what `plan::matching` leaves out.

use super::super::schema::Default::{Is, None, Required};
use super::super::schema::Keys;
use super::super::schema::Keys::Fixed;
use super::super::schema::Kind::{Bool, Labels, Names, Tables, Text};
use super::key;

pub(super) const MATCH: Keys = Fixed(&[
    key("path", Text, None, "the whole path"),
    key("prefix", Text, None, "the beginning of the path"),
    key("regex", Text, None, "a regular expression for the whole path"),
    key("template", Text, None, "a template for the whole path: /carts/{id}/*, /static/**"),
    key("method", Text, None, "the method"),
    key("authority", Text, None, "the host header; the service's name where there is none"),
    key("headers", Labels, None, "headers and their exact values"),
    key("header", Tables(HEADER, ""), None, "headers and what their values are like"),
    key("query", Labels, None, "parameters of the query and their exact values"),
    key("parameter", Tables(PARAMETER, ""), None, "parameters and what their values are like"),
]);

const PARAMETER: Keys = Fixed(&[
    key("name", Text, Required, "the parameter; with nothing else it must be there"),
    key("exact", Text, None, "its first value"),
    key("prefix", Text, None, "the beginning of it"),
    key("suffix", Text, None, "the end of it"),
    key("contains", Text, None, "a part of it"),
    key("regex", Text, None, "a regular expression for all of it"),
]);

pub(super) const HEADER: Keys = Fixed(&[
    key("name", Text, Required, "the header; with nothing else it must be there"),
    key("exact", Text, None, "its value"),
    key("prefix", Text, None, "the beginning of its value"),
    key("suffix", Text, None, "the end of its value"),
    key("contains", Text, None, "a part of its value"),
    key("regex", Text, None, "a regular expression for its whole value"),
    key(
        "invert",
        Bool,
        Is("false"),
        "it must not be like that; one that is missing is like nothing",
    ),
]);

pub(super) const REWRITE: Keys = Fixed(&[
    key("path", Text, None, "this path in place of the whole one; the query stays"),
    key("prefix", Text, None, "this in place of the prefix that was matched"),
    key("template", Text, None, "a path made of the variables of the template that was matched"),
    key("regex", Text, None, "what of the path gives way to the substitution, each time"),
    key("substitution", Text, None, "in place of that; \\1 is the expression's first group"),
    key("authority", Text, None, "this host"),
]);

pub(super) const CHANGES: Keys = Fixed(&[
    key("remove", Names, None, "headers that are removed, before all else"),
    key("set", Labels, None, "headers that have these values, whatever they had"),
    key("add", Labels, None, "values that are added to what headers have"),
]);
