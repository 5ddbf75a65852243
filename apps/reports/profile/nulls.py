"""Which cells count as null."""

#: pandas' default ``na_values`` (pandas.read_csv), so that the totals equal those of pandas. They
#: are compared as they stand: a cell of blanks is text.
NULLS = frozenset(
    {
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    }
)
