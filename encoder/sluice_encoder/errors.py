"""What can go wrong on the way from a file to a title, grouped by what the caller does next."""


class EncoderError(Exception):
    """The job did not finish. The message is one line for a person."""


class SourceRefused(EncoderError):
    """This file cannot become a title; another attempt ends the same."""


class ToolFailed(EncoderError):
    """ffmpeg, ffprobe or the packager failed, or is not there."""


class PublishFailed(EncoderError):
    """The origin folder could not take the files; it names none that it does not hold."""


class RegistrationFailed(EncoderError):
    """The control plane did not take the title; its files are in the origin."""
