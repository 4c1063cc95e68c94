//! Roles: whoever assumes one is known by its name from then on.
//!
//! Source: AWS STS API reference, `AssumeRole` (the query protocol).

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::response::Response;

use crate::told::parameter;

/// Answers with credentials whose key is the role's name; `None` for every other call.
pub(crate) fn call(head: &Parts, body: &[u8]) -> Option<Response> {
    let name = role(head, body)?;
    let text = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{name}</AccessKeyId>\
         <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>"
    );
    let response = Response::builder().header(header::CONTENT_TYPE, "text/xml");
    Some(response.body(Body::from(text)).expect("a header and a body make a response"))
}

/// The name of the role that a call assumes.
pub(crate) fn role(head: &Parts, body: &[u8]) -> Option<String> {
    let is_post = head.method == Method::POST && head.uri.path() == "/";
    let assumes = is_post && parameter(body, "Action").as_deref() == Some("AssumeRole");
    let arn = if assumes { parameter(body, "RoleArn") } else { None };
    arn.and_then(|arn| arn.rsplit('/').next().map(str::to_owned))
}
