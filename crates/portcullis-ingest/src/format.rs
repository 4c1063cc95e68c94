//! Log formats by name and by template.
//!
//! Sources: API Gateway guide, "Set up logging" (the REST console's examples) and
//! "HTTP API logging" (the HTTP console's), joined to one line each.

use crate::combined::Front;
use crate::keyed::Keys;
use crate::source::envelope::Envelope;
use crate::source::{alb, cloudfront, waf};
use crate::template::{Form, Template};
use crate::variable::{self, Slot};
use crate::{Field, FieldSet, TemplateError, combined};

/// A format known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The name `--format` takes.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// The `$context` template; `None` for formats that are no template.
    pub template: Option<&'static str>,
}

/// Every preset, in the order of listings.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "recommended",
        title: "what Portcullis sees most with: one line of JSON",
        template: Some(concat!(
            r#"{"requestId":"$context.requestId","extendedRequestId":"$context.extendedRequestId","#,
            r#""ip":"$context.identity.sourceIp","requestTimeEpoch":"$context.requestTimeEpoch","#,
            r#""httpMethod":"$context.httpMethod","path":"$context.path","#,
            r#""resourcePath":"$context.resourcePath","stage":"$context.stage","#,
            r#""apiId":"$context.apiId","domainName":"$context.domainName","#,
            r#""status":"$context.status","protocol":"$context.protocol","#,
            r#""responseLength":"$context.responseLength","responseLatency":"$context.responseLatency","#,
            r#""userAgent":"$context.identity.userAgent","apiKeyId":"$context.identity.apiKeyId","#,
            r#""principalId":"$context.authorizer.principalId","wafResponseCode":"$context.wafResponseCode","#,
            r#""webaclArn":"$context.webaclArn","errorResponseType":"$context.error.responseType"}"#,
            "\n"
        )),
    },
    Preset {
        name: "apigw-rest-clf",
        title: "REST API console, CLF",
        template: Some(
            "$context.identity.sourceIp $context.identity.caller  $context.identity.user \
             [$context.requestTime] \"$context.httpMethod $context.resourcePath \
             $context.protocol\" $context.status $context.responseLength $context.requestId \
             $context.extendedRequestId",
        ),
    },
    Preset {
        name: "apigw-rest-json",
        title: "REST API console, JSON",
        template: Some(concat!(
            r#"{ "requestId":"$context.requestId", "extendedRequestId":"$context.extendedRequestId", "#,
            r#""ip": "$context.identity.sourceIp", "caller":"$context.identity.caller", "#,
            r#""user":"$context.identity.user", "requestTime":"$context.requestTime", "#,
            r#""httpMethod":"$context.httpMethod", "resourcePath":"$context.resourcePath", "#,
            r#""status":"$context.status", "protocol":"$context.protocol", "#,
            r#""responseLength":"$context.responseLength" }"#
        )),
    },
    Preset {
        name: "apigw-rest-xml",
        title: "REST API console, XML",
        template: Some(
            "<request id=\"$context.requestId\"> \
             <extendedRequestId>$context.extendedRequestId</extendedRequestId> \
             <ip>$context.identity.sourceIp</ip> <caller>$context.identity.caller</caller> \
             <user>$context.identity.user</user> <requestTime>$context.requestTime</requestTime> \
             <httpMethod>$context.httpMethod</httpMethod> \
             <resourcePath>$context.resourcePath</resourcePath> <status>$context.status</status> \
             <protocol>$context.protocol</protocol> \
             <responseLength>$context.responseLength</responseLength> </request>",
        ),
    },
    Preset {
        name: "apigw-rest-csv",
        title: "REST API console, CSV",
        template: Some(
            "$context.identity.sourceIp,$context.identity.caller,$context.identity.user,\
             $context.requestTime,$context.httpMethod,$context.resourcePath,$context.protocol,\
             $context.status,$context.responseLength,$context.requestId,$context.extendedRequestId",
        ),
    },
    Preset {
        name: "apigw-http-clf",
        title: "HTTP API console, CLF",
        template: Some(
            "$context.identity.sourceIp - - [$context.requestTime] \"$context.httpMethod \
             $context.routeKey $context.protocol\" $context.status $context.responseLength \
             $context.requestId",
        ),
    },
    Preset {
        name: "apigw-http-json",
        title: "HTTP API console, JSON",
        template: Some(concat!(
            r#"{ "requestId":"$context.requestId", "ip": "$context.identity.sourceIp", "#,
            r#""requestTime":"$context.requestTime", "httpMethod":"$context.httpMethod","#,
            r#""routeKey":"$context.routeKey", "status":"$context.status","#,
            r#""protocol":"$context.protocol", "responseLength":"$context.responseLength" }"#
        )),
    },
    Preset {
        name: "apigw-http-xml",
        title: "HTTP API console, XML",
        template: Some(
            "<request id=\"$context.requestId\"> <ip>$context.identity.sourceIp</ip> \
             <requestTime>$context.requestTime</requestTime> \
             <httpMethod>$context.httpMethod</httpMethod> <routeKey>$context.routeKey</routeKey> \
             <status>$context.status</status> <protocol>$context.protocol</protocol> \
             <responseLength>$context.responseLength</responseLength> </request>",
        ),
    },
    Preset {
        name: "apigw-http-csv",
        title: "HTTP API console, CSV",
        template: Some(
            "$context.identity.sourceIp,$context.requestTime,$context.httpMethod,\
             $context.routeKey,$context.protocol,$context.status,$context.responseLength,\
             $context.requestId",
        ),
    },
    Preset {
        name: "combined",
        title: "Apache and nginx combined log, with referer",
        template: None,
    },
    Preset { name: "aws-waf", title: "AWS WAF full logs", template: None },
    Preset { name: "alb", title: "Application Load Balancer access logs", template: None },
    Preset {
        name: "cloudfront",
        title: "CloudFront standard logs, versions 1 and 2",
        template: None,
    },
    Preset {
        name: "cloudwatch",
        title: "any of these inside a CloudWatch Logs subscription",
        template: None,
    },
];

/// A log format, ready to decode with.
#[derive(Debug, Clone)]
pub struct LogFormat {
    name: Box<str>,
    text: Option<Box<str>>,
    pub(crate) reading: Reading,
}

#[derive(Debug, Clone)]
pub(crate) enum Reading {
    Template(Box<Compiled>),
    Combined(Front),
    Waf,
    Alb,
    CloudFrontLines,
    CloudFrontJson,
    /// Records inside other records. `None`: what they are was not recognised.
    Envelope(Envelope, Option<Box<LogFormat>>),
}

/// A template with what its fallbacks need.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) template: Template,
    pub(crate) keys: KeyReading,
    /// The root's closing tag, of XML.
    pub(crate) closing: Option<Box<[u8]>>,
}

/// How records are read that do not fit the template to the byte.
#[derive(Debug, Clone)]
pub(crate) enum KeyReading {
    /// By the template's own keys.
    Known(Keys),
    /// By what people commonly call the variables: no template was given.
    Common,
    /// Not at all: the template is neither JSON nor XML, or broken.
    None,
}

impl LogFormat {
    /// Compiles a `$context` access-log format string.
    ///
    /// # Errors
    /// When no reader could tell where its values end; see [`TemplateError`].
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        Self::named("template", template)
    }

    /// The preset of that name.
    pub fn preset(name: &str) -> Option<Self> {
        let preset = PRESETS.iter().find(|preset| preset.name == name)?;
        if let Some(template) = preset.template {
            let compiled = Self::named(name, template);
            return Some(compiled.expect("presets compile: a test compiles each"));
        }
        let reading = match name {
            "combined" => Reading::Combined(Front::Unknown),
            "aws-waf" => Reading::Waf,
            "alb" => Reading::Alb,
            "cloudfront" => Reading::CloudFrontLines,
            _ => Reading::Envelope(Envelope::CloudWatch, None),
        };
        Some(Self::of_source(name, reading))
    }

    pub(crate) fn of_source(name: &str, reading: Reading) -> Self {
        Self { name: name.into(), text: None, reading }
    }

    /// The format of records that stand inside others.
    pub(crate) fn enveloped(envelope: Envelope, inner: Option<Self>) -> Self {
        let name = match envelope {
            Envelope::CloudWatch => "cloudwatch",
            Envelope::FirehoseError => "firehose-error",
        };
        Self::of_source(name, Reading::Envelope(envelope, inner.map(Box::new)))
    }

    pub(crate) fn named(name: &str, text: &str) -> Result<Self, TemplateError> {
        let template = Template::parse(text)?;
        let keys = match template.form {
            Form::Json | Form::Xml => {
                Keys::of(&template).map_or(KeyReading::None, KeyReading::Known)
            }
            Form::Csv | Form::Line => KeyReading::None,
        };
        Ok(Self {
            name: name.into(),
            text: Some(text.into()),
            reading: Reading::Template(Box::new(Compiled::new(template, keys))),
        })
    }

    /// A format recognised by the keys of its records.
    pub(crate) fn inferred(template: Template) -> Self {
        let name = if template.form == Form::Xml { "xml" } else { "json" };
        Self {
            name: name.into(),
            text: None,
            reading: Reading::Template(Box::new(Compiled::new(template, KeyReading::Common))),
        }
    }

    /// The preset's name, `template` for a given template, `json` or `xml` for a
    /// format recognised by its keys.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The template as given.
    pub fn template(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The fields its records give.
    pub fn fields(&self) -> FieldSet {
        match &self.reading {
            Reading::Combined(_) => combined::fields(),
            Reading::Waf => waf::fields(),
            Reading::Alb => alb::fields(),
            Reading::CloudFrontLines | Reading::CloudFrontJson => cloudfront::fields(),
            Reading::Envelope(_, inner) => inner.as_ref().map_or(FieldSet::EMPTY, |f| f.fields()),
            Reading::Template(compiled) => {
                compiled.template.captures.iter().filter_map(|c| c.slot.field()).collect()
            }
        }
    }

    /// The variables of the template, without `$context.`, in its order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let captures = match &self.reading {
            Reading::Template(compiled) => compiled.template.captures.as_slice(),
            _ => &[],
        };
        captures.iter().map(|capture| &*capture.name)
    }

    /// What is unsafe or lossy about the format, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let Reading::Template(compiled) = &self.reading else {
            return Vec::new();
        };
        let template = &compiled.template;
        let fields = self.fields();
        let mut warnings = Vec::new();
        let has = |name: &str| template.captures.iter().any(|capture| &*capture.name == name);
        for capture in &template.captures {
            if !variable::meaning(&capture.name).known {
                warnings.push(format!(
                    "$context.{} is no variable API Gateway documents: REST APIs log `-` for it, \
                     HTTP APIs refuse the format",
                    capture.name
                ));
            }
            if &*capture.name == "error.messageString" && capture.fills_quotes {
                warnings.push(
                    "$context.error.messageString is already quoted: inside quotes it breaks the \
                     record on every error; log $context.error.responseType instead"
                        .to_owned(),
                );
            }
        }
        if has("identity.apiKey") {
            warnings.push(
                "$context.identity.apiKey is the secret itself: log $context.identity.apiKeyId"
                    .to_owned(),
            );
        }
        if template.form == Form::Json && matches!(compiled.keys, KeyReading::None) {
            warnings
                .push("the records are not valid JSON: a comma or a quote is missing".to_owned());
        }
        if !fields.contains(Field::Id) {
            warnings.push(
                "no request id: records cannot be told apart or joined with AWS WAF logs; add \
                 $context.extendedRequestId"
                    .to_owned(),
            );
        } else if !has("extendedRequestId") {
            warnings.push(
                "clients of REST APIs can set $context.requestId: add $context.extendedRequestId"
                    .to_owned(),
            );
        }
        if !template.ends_line {
            warnings.push(if compiled.can_be_glued() {
                "no line break at the end: Firehose joins the records byte to byte; they are told \
                 apart, but other tools will not"
                    .to_owned()
            } else {
                "no line break at the end: Firehose joins the records byte to byte, and nothing \
                 marks where this format's last value ends; add a line break"
                    .to_owned()
            });
        }
        warnings
    }
}

impl Compiled {
    fn new(template: Template, keys: KeyReading) -> Self {
        let closing = (template.form == Form::Xml)
            .then(|| memchr::memmem::rfind(&template.tail, b"</"))
            .flatten()
            .map(|at| template.tail[at..].into());
        Self { template, keys, closing }
    }

    /// Whether records can be told apart when nothing separates them.
    pub(crate) fn can_be_glued(&self) -> bool {
        match self.template.form {
            Form::Json => true,
            Form::Xml => self.closing.is_some(),
            Form::Csv | Form::Line => crate::glued::Seam::of(&self.template).is_some(),
        }
    }

    /// Whether any value is what a request must at least tell.
    pub(crate) fn tells_requests(&self) -> bool {
        let captures = &self.template.captures;
        let says_who_or_what = captures.iter().any(|capture| {
            matches!(capture.slot, Slot::Client | Slot::Status | Slot::Path | Slot::Route)
        });
        says_who_or_what
            && captures.iter().filter(|c| c.slot.is_trusted() || c.slot == Slot::Path).count() >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_compiles_and_names_itself() {
        for preset in PRESETS {
            let format = LogFormat::preset(preset.name).expect("a preset");
            assert_eq!(format.name(), preset.name);
            let inside = preset.name == "cloudwatch";
            assert!(inside || format.fields().contains(Field::Client), "{}", preset.name);
            assert!(format.warnings().iter().all(|w| !w.contains("documents")), "{}", preset.name);
        }
        assert!(LogFormat::preset("nothing").is_none());
    }

    #[test]
    fn the_recommended_format_has_no_warning() {
        assert_eq!(
            LogFormat::preset("recommended").expect("a preset").warnings(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_secret_and_a_broken_quote_are_warned_of() {
        let format = LogFormat::parse(
            r#"{"k":"$context.identity.apiKey","m":"$context.error.messageString"}"#,
        )
        .expect("a template");
        let warnings = format.warnings().join("\n");
        assert!(warnings.contains("identity.apiKeyId"), "{warnings}");
        assert!(warnings.contains("already quoted"), "{warnings}");
    }
}
