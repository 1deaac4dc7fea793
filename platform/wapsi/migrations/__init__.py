"""The schema's history. It lies in the package, so that an installed wheel can migrate."""
