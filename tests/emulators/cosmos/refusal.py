"""What the stand-in answers when it does not do what it was asked."""

NAMES = {
    304: "NotModified",
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    409: "Conflict",
    412: "PreconditionFailed",
    413: "RequestEntityTooLarge",
    424: "FailedDependency",
    429: "TooManyRequests",
}


class Refusal(Exception):
    """An answer of the service that is an error."""

    def __init__(self, status: int, message: str, sub_status: int = 0, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.status, self.message, self.sub_status, self.retry_after_ms = status, message, sub_status, retry_after_ms

    def body(self) -> dict[str, str]:
        return {"code": NAMES[self.status], "message": self.message}
