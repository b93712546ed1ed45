"""What stops a build of the assets."""


class AssetError(Exception):
    """The site could not be built; the message says what to do."""
