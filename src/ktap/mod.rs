//! KTAP (Documentation/dev-tools/ktap.rst), the format in which kernel tests tell their results.
