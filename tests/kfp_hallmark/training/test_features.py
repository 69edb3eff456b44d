import numpy
import pandas
import pytest
from sklearn.dummy import DummyClassifier

from kfp_hallmark.modeling.columns import Column
from kfp_hallmark.training.features import make_pipeline

ENVIRONMENT = "ml"


@pytest.mark.parametrize(("texts", "each"), [(1, 32), (8, 32), (9, 28), (19, 13), (128, 2), (130, 2)])
def test_many_text_features_share_a_bounded_number_of_columns(texts, each):
    frame = pandas.DataFrame({f"text {place}": [f"c{row % 90}" for row in range(300)] for place in range(texts)})
    columns = [Column(name, "string") for name in frame]
    pipeline = make_pipeline(DummyClassifier(), columns, frame).fit(frame, numpy.arange(300) % 2)
    assert pipeline[:-1].transform(frame).shape[1] == texts * each


def test_texts_become_categories_alike_however_a_missing_one_is_written():
    frame = pandas.DataFrame({"x": ["a", None, "b", "a"], "n": [1.0, 2.0, 3.0, 4.0]}).astype({"x": "str"})
    columns = [Column("x", "string"), Column("n", "double")]
    features = make_pipeline(DummyClassifier(), columns, frame).fit(frame, [0, 1, 0, 1])[0]
    assert features.get_feature_names_out().tolist() == ["numbers__n", "texts__x_a", "texts__x_b", "texts__x_nan"]
    for missing in (None, numpy.nan, pandas.NA):
        rows = frame.assign(x=pandas.Series(["a", missing, "b", "other"], dtype=object))
        assert features.transform(rows)[:, 1:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
