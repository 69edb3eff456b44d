"""A storage whose client tells secrets."""

import pytest


@pytest.fixture
def telling():
    """Make fsspec know the protocol `telling`, whose every call fails with an error that tells a secret; return it."""
    import fsspec
    from fsspec.spec import AbstractFileSystem

    def register(raised):
        class Telling(AbstractFileSystem):
            def info(self, path, *more, **options):
                raise raised(f"403 for https://storage/{path}?token=s3cret")

            get_file = put_file = exists = find = info

        fsspec.register_implementation("telling", Telling, clobber=True)
        return "telling"

    return register
