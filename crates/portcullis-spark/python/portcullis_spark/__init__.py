"""Portcullis' detection on Apache Spark: the same findings, byte for byte.

    import portcullis_spark
    result = portcullis_spark.scan(spark, "s3://bucket/prefix/")
    result.save("findings.json")        # for: portcullis plan --findings findings.json
"""

from ._scan import Result, scan

__all__ = ["Result", "scan"]
