//! The log of a CloudFront distribution, delivered into the bucket of logs.

use serde_json::{Map, Value, json};

use crate::answers::Setup;
use crate::front::{FOLDERS, LOG_FORMAT, distribution_arn};
use crate::names::LOGS;

pub(super) fn log(resources: &mut Map<String, Value>, setup: &Setup, id: &str) {
    resources.insert(
        "AccessSource".to_owned(),
        json!({"Type": "AWS::Logs::DeliverySource", "Properties": {
            "Name": setup.named("access"),
            "LogType": "ACCESS_LOGS",
            "ResourceArn": distribution_arn(setup, id),
        }}),
    );
    resources.insert(
        "AccessDestination".to_owned(),
        json!({
            "Type": "AWS::Logs::DeliveryDestination",
            // CloudFront looks at the bucket's policy when the delivery is made.
            "DependsOn": "LogsBucketPolicy",
            "Properties": {
                "Name": setup.named("access"),
                "OutputFormat": LOG_FORMAT,
                "DestinationResourceArn": LOGS,
            },
        }),
    );
    resources.insert(
        "AccessDelivery".to_owned(),
        json!({
            "Type": "AWS::Logs::Delivery",
            // It names its source by a text.
            "DependsOn": "AccessSource",
            "Properties": {
                "DeliverySourceName": setup.named("access"),
                "DeliveryDestinationArn": {"Fn::GetAtt": ["AccessDestination", "Arn"]},
                "S3SuffixPath": FOLDERS,
                "S3EnableHiveCompatiblePath": false,
            },
        }),
    );
}
