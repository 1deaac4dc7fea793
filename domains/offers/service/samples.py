"""SQL over the samples of offer_documents: a tier is a sample with all smaller ones, and tier 0 is all offers."""

LARGEST_TIER = 2


def limited(rows: int | str) -> str:
    """A LIMIT whose number the planner does not see.

    Of a word of which it knows nothing it believes that every 200th offer has it. A few such offers, it concludes, are
    found sooner by reading the table from its beginning than by the index, and reads it to the end.
    """
    return f"LIMIT (SELECT {rows}::int8)"


def with_lexemes(tier: int, columns: str, number: int | str, rows: int | str, *, beyond: int | str = 0) -> str:
    """A SELECT of at most `rows` of the tier's offers that have the lexemes of the argument with that number.

    Samples come first: they are good offers, and in memory; `beyond` so many of them it begins. Each is named, and read
    part after part, none that is not needed: given as a condition, the planner might look for a sample in the index of
    ids, and its offers came in another order. Of the lexemes it sees nothing, and plans for all alike: by how common it
    believes each to be, it would read a whole sample where two common ones are hardly ever together.
    """
    samples = (of_sample(sample, columns, number) for sample in range(LARGEST_TIER, tier - 1, -1))
    return f"{' UNION ALL '.join(samples)} {limited(rows)}{f' OFFSET {beyond}' if beyond else ''}"


def of_sample(sample: int, columns: str, number: int | str) -> str:
    return (
        f"SELECT {columns} FROM document_partitions.sample_{sample}"  # noqa: S608
        f" WHERE document @@ (SELECT ${number}::text::tsquery)"
    )


def count_sql(queries: int, *, tier: int) -> str:
    """Counts the tier's offers of each query, $2 and those that follow, up to the limit $1."""
    counts = (
        f"(SELECT count(*) FROM ({with_lexemes(tier, '1', number, '$1')}) found) AS count_{number}"  # noqa: S608
        for number in range(2, queries + 2)
    )
    return f"SELECT {', '.join(counts)}"
