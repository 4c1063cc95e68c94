//! The ARN of an IP set, which holds all that a call for the set needs.
//!
//! Who knows a set by name alone must list all sets to find its id, and that call can be
//! granted on all resources only. Who knows its ARN need not.
//!
//! Source: Service Authorization Reference, AWS WAF V2, "Resource types defined by".

use portcullis_remediation::{Scope, Target};

/// What an ARN such as
/// `arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/portcullis-v4/ID` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetArn {
    /// The account, region and scope of the set.
    pub target: Target,
    /// The set's name.
    pub name: String,
    /// The set's id, a UUID.
    pub id: String,
}

impl SetArn {
    /// Reads an ARN; `None` if it is not that of an IP set.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let mut path = resource.split('/');
        let scope = match path.next()? {
            "regional" => Scope::Regional,
            "global" => Scope::CloudFront,
            _ => return None,
        };
        let (kind, name, id) = (path.next()?, path.next()?, path.next()?);
        let is_whole = path.next().is_none() && !name.is_empty() && !id.is_empty();
        (arn == "arn" && service == "wafv2" && kind == "ipset" && is_whole).then(|| Self {
            target: Target::new(account, region, scope),
            name: name.to_owned(),
            id: id.to_owned(),
        })
    }

    /// The ARN of a set.
    pub(crate) fn of(target: &Target, name: &str, id: &str) -> String {
        let (region, account) = (target.region(), target.account());
        let scope = match target.scope() {
            Scope::Regional => "regional",
            Scope::CloudFront => "global",
        };
        let partition = portcullis_setup::partition(region);
        format!("arn:{partition}:wafv2:{region}:{account}:{scope}/ipset/{name}/{id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_tells_target_name_and_id() {
        let text = "arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/portcullis-v4/a1b2-c3";
        let arn = SetArn::parse(text);
        let expected = SetArn {
            target: Target::new("111122223333", "eu-west-1", Scope::Regional),
            name: "portcullis-v4".to_owned(),
            id: "a1b2-c3".to_owned(),
        };
        assert_eq!(arn, Some(expected));
        let global = "arn:aws:wafv2:us-east-1:111122223333:global/ipset/edge-v4/a1b2-c3";
        let target = SetArn::parse(global).map(|arn| arn.target.to_string());
        assert_eq!(target.as_deref(), Some("111122223333/us-east-1/CLOUDFRONT"));
        for text in [text, global] {
            let SetArn { target, name, id } = SetArn::parse(text).expect("an ARN");
            assert_eq!(SetArn::of(&target, &name, &id), text);
        }
    }

    #[test]
    fn anything_else_is_no_set() {
        for text in [
            "portcullis-v4",
            "arn:aws:wafv2:eu-west-1:111122223333:regional/webacl/portcullis/a1b2-c3",
            "arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/portcullis-v4",
            "arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/portcullis-v4/a1b2-c3/more",
            "arn:aws:waf:eu-west-1:111122223333:regional/ipset/portcullis-v4/a1b2-c3",
            "arn:aws:wafv2:eu-west-1:111122223333:regional/ipset//a1b2-c3",
            "arn:aws:wafv2",
            "",
        ] {
            assert_eq!(SetArn::parse(text), None, "{text}");
        }
    }
}
