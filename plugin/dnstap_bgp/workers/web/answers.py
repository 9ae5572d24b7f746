"""What all answers have in common; no thread."""

import json

from aiohttp import web


class Failure(web.HTTPException):
    """An answer that says what is wrong, as JSON."""

    status_code = 500

    def __init__(self, status: int, text: str) -> None:
        """Make it.

        Args:
            status: Of HTTP.
            text: For a person.
        """
        self.status_code = status
        super().__init__(text=json.dumps({"error": text}), content_type="application/json")


def json_response(found: object) -> web.Response:
    """An answer as JSON."""
    return web.Response(body=json.dumps(found).encode(), content_type="application/json")
