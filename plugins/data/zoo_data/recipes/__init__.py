"""How data sets are made from packages of the registries: one file a package, run by `zoo data get`."""
