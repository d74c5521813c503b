"""`/openai/v1`: which call it is, models, and refusals in OpenAI's shape."""

from typing import Any, Final

from contracts.codes import Code
from contracts.registry import Model
from starlette.types import Send

from gateway.domain.problems import Refusal
from gateway.entrypoints.doors import Request
from gateway.entrypoints.openai_chat import ChatCompletions
from gateway.entrypoints.openai_errors import error_of
from gateway.entrypoints.openai_responses import Responses
from gateway.entrypoints.protocol_http import ProtocolStreams, answer_json
from gateway.entrypoints.wiring import Doors, Wiring


class OpenAiDoor:
    """The routes of this door."""

    prefix: Final = "/openai/v1"

    def __init__(self, wiring: Wiring, doors: Doors, streams: ProtocolStreams) -> None:
        self._wiring: Final = wiring
        self._chat: Final = ChatCompletions(wiring, doors, streams)
        self._responses: Final = Responses(wiring, doors, streams)

    def route_of(self, path: str) -> str:
        """The template of a path, for spans."""
        match path.removeprefix(self.prefix).split("/")[1:]:
            case ["chat", "completions"] | ["models"] | ["responses"]:
                return path
            case ["models", *_]:
                return self.prefix + "/models/{model}"
            case ["responses", _]:
                return self.prefix + "/responses/{response_id}"
            case ["responses", _, ("cancel" | "input_items") as verb]:
                return self.prefix + "/responses/{response_id}/" + verb
            case _:
                return ""

    async def refuse(self, send: Send, refusal: Refusal) -> None:
        """As OpenAI's clients expect it."""
        status, body = error_of(refusal)
        await answer_json(send, status, body, refusal.headers)

    async def serve(self, request: Request) -> None:
        """Answer one request; raises Refusal before the first byte only."""
        match request.path.removeprefix(self.prefix).split("/")[1:]:
            case ["models"]:
                request.allow("GET")
                models = [_model(model) for model in self._wiring.models.models.values() if model.available]
                await answer_json(request.send, 200, {"object": "list", "data": models})
            case ["models", *name]:
                request.allow("GET")
                await self._one_model(request, "/".join(name))
            case ["chat", "completions"]:
                request.allow("POST")
                await self._chat.create(request)
            case ["responses"]:
                request.allow("POST")
                await self._responses.create(request)
            case ["responses", name] if request.method == "DELETE":
                await self._responses.delete(request, name)
            case ["responses", name]:
                request.allow("GET", "DELETE")
                await self._responses.retrieve(request, name)
            case ["responses", name, "cancel"]:
                request.allow("POST")
                await self._responses.cancel(request, name)
            case ["responses", name, "input_items"]:
                request.allow("GET")
                await self._responses.input_items(request, name)
            case _:
                raise Refusal(Code.NOT_FOUND, f"There is nothing at {request.path[:80]}.")

    async def _one_model(self, request: Request, name: str) -> None:
        model = self._wiring.models.find(name)
        if model is None:
            raise Refusal(Code.MODEL_UNKNOWN, f"The model {name[:80]!r} does not exist.")
        await answer_json(request.send, 200, _model(model))


def _model(model: Model) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": 0, "owned_by": model.provider.name}
