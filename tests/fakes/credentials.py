"""A process that has no credentials of any cloud, whatever the machine has."""

import pytest

AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN")
AWS += ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE")


@pytest.fixture
def no_credentials(monkeypatch, tmp_path):
    """No credentials, no proxy, and no file system that was made with any."""
    import fsspec

    for name in (*AWS, "GOOGLE_APPLICATION_CREDENTIALS", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for protocol in ("s3", "gs", "http"):
        fsspec.get_filesystem_class(protocol).clear_instance_cache()
