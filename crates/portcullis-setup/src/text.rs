//! Text that refers to resources, and values that hold such text.
//!
//! A policy names the ARN of a bucket that does not exist yet. Terraform writes that as
//! `"${aws_s3_bucket.logs.arn}/*"`, CloudFormation as `{"Fn::Sub": "${LogsBucket.Arn}/*"}`.
//! Policies and container definitions are the same in both, so they are JSON values in
//! which such text is a [`Text`]; each writer says it in its own language.

use std::ops::Add;

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

/// Something of a resource that is known only when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// As Terraform says it, `aws_s3_bucket.logs.arn`.
    pub(crate) terraform: &'static str,
    /// As CloudFormation says it, `LogsBucket.Arn`, or `LogsBucket` for what `Ref` gives.
    pub(crate) cloudformation: &'static str,
}

/// Literal text and attributes, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    Attribute { terraform: String, cloudformation: String },
}

impl From<Attribute> for Text {
    fn from(attribute: Attribute) -> Self {
        Self(vec![Part::Attribute {
            terraform: attribute.terraform.to_owned(),
            cloudformation: attribute.cloudformation.to_owned(),
        }])
    }
}

impl From<&str> for Text {
    fn from(literal: &str) -> Self {
        Self(vec![Part::Literal(literal.to_owned())])
    }
}

impl<T: Into<Text>> Add<T> for Text {
    type Output = Self;

    fn add(mut self, more: T) -> Self {
        self.0.extend(more.into().0);
        self
    }
}

/// The only key of an object that stands for a [`Text`]. No key of a policy or a template
/// begins with a control character, and keys never come from answers.
const KEY: &str = "\u{1}text";

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let parts: Vec<Value> = self
            .0
            .iter()
            .map(|part| match part {
                Part::Literal(text) => Value::from(text.as_str()),
                Part::Attribute { terraform, cloudformation } => {
                    Value::from(vec![terraform.as_str(), cloudformation.as_str()])
                }
            })
            .collect();
        let mut map = to.serialize_map(Some(1))?;
        map.serialize_entry(KEY, &parts)?;
        map.end()
    }
}

/// An attribute alone is a text of one part.
impl Serialize for Attribute {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Text::from(*self).serialize(to)
    }
}

/// The parts of a value that is a [`Text`], or a plain string.
pub(crate) fn parts(value: &Value) -> Option<Vec<Part>> {
    if let Value::String(text) = value {
        return Some(vec![Part::Literal(text.clone())]);
    }
    let parts = value.as_object()?.get(KEY)?.as_array()?;
    Some(
        parts
            .iter()
            .map(|part| match part {
                Value::Array(names) => Part::Attribute {
                    terraform: names[0].as_str().unwrap_or_default().to_owned(),
                    cloudformation: names[1].as_str().unwrap_or_default().to_owned(),
                },
                other => Part::Literal(other.as_str().unwrap_or_default().to_owned()),
            })
            .collect(),
    )
}
