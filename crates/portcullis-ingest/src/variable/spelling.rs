//! Which variable people mean by a key of their own, where no template says.

/// The variable that people mean by a key of a JSON or XML record, when no template
/// is given. `keys` is the path of the key from the record's root. Common spellings
/// from public templates: case, `_`, `-` and `.` do not matter.
pub(crate) fn by_key(keys: &[&str]) -> Option<&'static str> {
    let folded: Vec<String> = keys.iter().map(|key| fold_key(key)).collect();
    for skip in 0..folded.len() {
        let joined = folded[skip..].concat();
        let joined = joined.strip_prefix("context").unwrap_or(&joined);
        if let Some((_, variable)) = KEYS.iter().find(|(key, _)| *key == joined) {
            return Some(variable);
        }
    }
    None
}

fn fold_key(key: &str) -> String {
    key.bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect()
}

/// Folded key → variable. Keys that would be mistaken for another variable by their
/// last word (`integration.status`) stand here with what they are.
const KEYS: [(&str, &str); 96] = [
    ("requestid", "requestId"),
    ("reqid", "requestId"),
    ("id", "requestId"),
    ("extendedrequestid", "extendedRequestId"),
    ("xamzapigwid", "extendedRequestId"),
    ("ip", "identity.sourceIp"),
    ("sourceip", "identity.sourceIp"),
    ("sourceipaddress", "identity.sourceIp"),
    ("identitysourceip", "identity.sourceIp"),
    ("identityip", "identity.sourceIp"),
    ("clientip", "identity.sourceIp"),
    ("remoteip", "identity.sourceIp"),
    ("remoteaddr", "identity.sourceIp"),
    ("remoteaddress", "identity.sourceIp"),
    ("ipaddress", "identity.sourceIp"),
    ("client", "identity.sourceIp"),
    ("caller", "identity.caller"),
    ("identitycaller", "identity.caller"),
    ("user", "identity.user"),
    ("identityuser", "identity.user"),
    ("userarn", "identity.userArn"),
    ("identityuserarn", "identity.userArn"),
    ("cognitoidentityid", "identity.cognitoIdentityId"),
    ("identitycognitoidentityid", "identity.cognitoIdentityId"),
    ("requesttime", "requestTime"),
    ("time", "requestTime"),
    ("timestamp", "requestTime"),
    ("datetime", "requestTime"),
    ("requesttimeepoch", "requestTimeEpoch"),
    ("epoch", "requestTimeEpoch"),
    ("timeepoch", "requestTimeEpoch"),
    ("httpmethod", "httpMethod"),
    ("method", "httpMethod"),
    ("requestmethod", "httpMethod"),
    ("verb", "httpMethod"),
    ("path", "path"),
    ("requestpath", "path"),
    ("httppath", "path"),
    ("uri", "path"),
    ("requesturi", "path"),
    ("url", "path"),
    ("resourcepath", "resourcePath"),
    ("resource", "resourcePath"),
    ("routekey", "routeKey"),
    ("route", "routeKey"),
    ("status", "status"),
    ("statuscode", "status"),
    ("httpstatus", "status"),
    ("responsestatus", "status"),
    ("useragent", "identity.userAgent"),
    ("identityuseragent", "identity.userAgent"),
    ("agent", "identity.userAgent"),
    ("ua", "identity.userAgent"),
    ("domainname", "domainName"),
    ("domain", "domainName"),
    ("host", "domainName"),
    ("protocol", "protocol"),
    ("responselength", "responseLength"),
    ("responsesize", "responseLength"),
    ("bytes", "responseLength"),
    ("responselatency", "responseLatency"),
    ("latency", "responseLatency"),
    ("responsetime", "responseLatency"),
    ("apiid", "apiId"),
    ("stage", "stage"),
    ("apikeyid", "identity.apiKeyId"),
    ("identityapikeyid", "identity.apiKeyId"),
    ("apikey", "identity.apiKey"),
    ("identityapikey", "identity.apiKey"),
    ("principalid", "authorizer.principalId"),
    ("authorizerprincipalid", "authorizer.principalId"),
    ("principal", "authorizer.principalId"),
    ("sub", "authorizer.claims.sub"),
    ("claimssub", "authorizer.claims.sub"),
    ("authorizerclaimssub", "authorizer.claims.sub"),
    ("userid", "authorizer.userId"),
    ("errorresponsetype", "error.responseType"),
    ("errortype", "error.responseType"),
    ("responsetype", "error.responseType"),
    ("wafresponsecode", "wafResponseCode"),
    ("wafresponse", "wafResponseCode"),
    ("wafaction", "wafResponseCode"),
    ("referer", "requestOverride.header.Referer"),
    ("referrer", "requestOverride.header.Referer"),
    ("query", "requestOverride.querystring.query"),
    ("querystring", "requestOverride.querystring.query"),
    ("integrationstatus", "integration.status"),
    ("integrationintegrationstatus", "integration.integrationStatus"),
    ("integrationlatency", "integration.latency"),
    ("integrationrequestid", "integration.requestId"),
    ("authorizerstatus", "authorizer.status"),
    ("authorizerlatency", "authorizer.latency"),
    ("authorizerrequestid", "authorizer.requestId"),
    ("authorizestatus", "authorize.status"),
    ("authenticatestatus", "authenticate.status"),
    ("wafstatus", "waf.status"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_common_spellings() {
        let check = |keys: &[&str], expected| assert_eq!(by_key(keys), expected, "{keys:?}");
        check(&["ip"], Some("identity.sourceIp"));
        check(&["identity", "sourceIP"], Some("identity.sourceIp"));
        check(&["identity.sourceIp"], Some("identity.sourceIp"));
        check(&["context", "identity", "sourceIP"], Some("identity.sourceIp"));
        check(&["integration", "status"], Some("integration.status"));
        check(&["integration-status"], Some("integration.status"));
        check(&["request", "http_method"], Some("httpMethod"));
        check(&["colour"], None);
    }
}
