"""The script for spark-submit; the package is on the cluster's Python."""

from portcullis_spark.__main__ import main

main()
