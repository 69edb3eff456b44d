from typing import List, NamedTuple, Optional

from kfp.dsl import Dataset, Input, Output

from kfp_hallmark.component import component


@component(environment="ml", pure=True, size="medium")
def split_dataset(
    dataset: Input[Dataset],
    train: Output[Dataset],
    test: Output[Dataset],
    target: Optional[str] = None,
    test_fraction: float = 0.3,
    key_column: Optional[str] = None,
    group_column: Optional[str] = None,
    time_column: Optional[str] = None,
    seed: int = 0,
    required_columns: List[str] = [],
) -> NamedTuple("Outputs", [("train_rows", int), ("test_rows", int)]):
    """Split a dataset into train and test, the same way whatever the order of its rows.

    A row goes where the hash of its key (by default of the whole row) puts it, so that equal rows stay together and
    a row never changes sides when others come or go. With a time column the latest rows are the test. On each side the
    rows keep the order that they have in the dataset.

    Args:
        dataset: What to split.
        target: Label column; when given, each side must hold every class. Classes are the values of text, of booleans,
            and of whole numbers with at most 20 distinct values.
        test_fraction: Share of the rows for the test, above 0 and below 1.
        key_column: Column that identifies a row; its hash decides. Default: all columns.
        group_column: Column whose rows with the same value stay on one side. Not together with key_column. With a time
            column, all rows of a group count as being of its latest time.
        time_column: Column of dates or numbers; rows after its (1 - test_fraction) quantile are the test. Not together
            with key_column.
        seed: Changes which rows the hash picks.
        required_columns: Columns that the dataset must have beside the target, so that no later step is begun in vain.

    Returns:
        train: One Parquet file, bound to the digest of the dataset.
        test: One Parquet file, bound to the digest of the dataset.
        train_rows: Number of rows.
        test_rows: Number of rows.

    Raises:
        InputError: If a column is absent, a time is missing, the target is constant, a side would be empty, or a class
            is missing on a side.
        IntegrityError: If an input was changed since it was written.
    """
    from kfp_hallmark.components.data.split_dataset.split import split

    return split(
        dataset, train, test, target, test_fraction, key_column, group_column, time_column, seed, required_columns
    )
